import numpy as np
import pytest
from picture_support import EVERY_NETWORK, SANET, run_tool, write_config, write_dataset

from paddleseg_ext.analysis.boundary_pictures import (
    MARK,
    boundary_probability,
    class_boundary_picture,
    grey,
    label_boundary,
    mark_boundary,
)
from paddleseg_ext.builder import classes_of, load_config
from paddleseg_ext.datasets.description import Classes
from paddleseg_ext.files import read_image
from paddleseg_ext.segmenter import Segmenter


@pytest.mark.parametrize("network", EVERY_NETWORK, ids=lambda network: network["type"])
def test_every_network(tmp_path, network):
    write_dataset(tmp_path, count=1)
    flags = {"config": write_config(tmp_path, **network), "save_dir": tmp_path / "out"}
    assert run_tool("boundary_image", image_path=tmp_path / "val.txt", **flags) == 0
    drawn = sorted(path.parent.name for path in (tmp_path / "out").rglob("p0.png"))
    assert drawn == ["binary", "classes", "overlay", "panel", "probability"]
    assert read_image(str(tmp_path / "out/probability/p0.png")).shape == (64, 96, 3)


def test_labels_alone(tmp_path):
    write_dataset(tmp_path, count=2)
    config = write_config(tmp_path)
    assert run_tool("boundary_image", config=config, label_path=tmp_path / "labels", save_dir=tmp_path / "out") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["binary", "classes"]
    classes = classes_of(load_config(str(config)))
    label = classes.read_label(str(tmp_path / "labels/p1.png"))
    binary = read_image(str(tmp_path / "out/binary/p1.png"))[..., 0]
    np.testing.assert_array_equal(binary, 255 * label_boundary(label, 255))


def test_probability_is_the_sigmoid_of_the_boundary_head(tmp_path):
    write_dataset(tmp_path, count=1)
    image = read_image(str(tmp_path / "images/p0.png"))
    segmenter = Segmenter.of(load_config(str(write_config(tmp_path, **SANET))), device="cpu")
    logits = segmenter.model.forward_heads(segmenter.preprocess(image)[0])["boundary"][0, 0].numpy()
    np.testing.assert_allclose(boundary_probability(segmenter, image), 1 / (1 + np.exp(-logits)), atol=1e-6)


def test_without_a_boundary_head_the_predicted_classes_tell(tmp_path):
    write_dataset(tmp_path, count=1)
    image = read_image(str(tmp_path / "images/p0.png"))
    segmenter = Segmenter.of(load_config(str(write_config(tmp_path))), device="cpu")
    expected = label_boundary(segmenter.predict(image), 255, 2)
    np.testing.assert_array_equal(boundary_probability(segmenter, image, 2), expected)


def test_boundaries_by_hand():
    colours = np.zeros((256, 3), np.uint8)
    colours[:2] = [(255, 0, 0), (0, 0, 200)]
    classes = Classes(("red", "blue"), colours, 255)
    labels = np.array([[0, 0, 0, 1, 1, 1, 255, 0]], np.uint8)
    boundary = label_boundary(labels, 255, 2)
    assert boundary.tolist() == [[False, False, True, True, False, False, False, False]]
    drawn = class_boundary_picture(labels, classes, 2)[0]
    white, red, blue = (255, 255, 255), (0, 0, 255), (200, 0, 0)
    assert [tuple(pixel) for pixel in drawn] == [white, white, red, blue, white, white, white, white]

    image = np.full((1, 8, 3), 7, np.uint8)
    marked = mark_boundary(image, boundary)
    assert marked.dtype == np.uint8 and tuple(marked[0, 2]) == MARK and tuple(marked[0, 1]) == (7, 7, 7)
    assert grey(np.array([[0, 0.5, 1]])).tolist() == [[0, 128, 255]]
