import resource
from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle import nn
from paddleseg.datasets import ADE20K
from paddleseg.transforms import Normalize
from picture_support import EVERY_NETWORK, NUM_CLASSES, run_tool, write_config, write_dataset
from PIL import Image

from paddleseg_ext.analysis.pictures import for_each_picture, list_pictures
from paddleseg_ext.analysis.segmentation import add_legend, overlay, panel
from paddleseg_ext.builder import classes_of, load_config
from paddleseg_ext.command import UserError
from paddleseg_ext.datasets.description import Classes, describe
from paddleseg_ext.files import read_image, write_image
from paddleseg_ext.segmenter import Segmenter, head_logits


@pytest.fixture
def classes():
    colours = np.zeros((256, 3), np.uint8)
    colours[:2] = [(255, 0, 0), (0, 0, 200)]
    return Classes(("red", "blue"), colours, 255)


@pytest.mark.parametrize("network", EVERY_NETWORK, ids=lambda network: network["type"])
@pytest.mark.parametrize("output", ["main", "aux"])
def test_every_network_and_output(tmp_path, network, output):
    write_dataset(tmp_path, count=1)
    config = write_config(tmp_path, **network)
    status = run_tool(
        "segmentation_image", config=config, image_path=tmp_path / "val.txt", save_dir=tmp_path / "out", output=output
    )
    assert status == 0
    colour, blended, beside = (
        read_image(str(tmp_path / f"out/{kind}/p0.png")) for kind in ("colour", "overlay", "panel")
    )
    palette = classes_of(load_config(str(config))).colours[:NUM_CLASSES]
    assert colour.shape == (64, 96, 3)
    assert {tuple(pixel) for pixel in colour[..., ::-1].reshape(-1, 3)} <= {tuple(entry) for entry in palette}
    assert blended.shape[0] > 64 and blended.shape[1] == 96
    assert beside.shape[1] > 4 * 96  # image, label, prediction, overlay


def test_odd_files_do_not_stop_the_rest(tmp_path, capsys):
    write_dataset(tmp_path / "data", count=1)
    folder = tmp_path / "images"
    noise = np.random.default_rng(0).integers(0, 256, (64, 96, 3)).astype(np.uint8)
    good = {
        "sixteen bits.png": noise.astype(np.uint16) * 257,
        "alpha.png": np.dstack([noise, noise[..., 0]]),
        "grey.png": noise[..., 0],
        "街道 Straße.jpg": noise,
        "a/same.png": noise,
        "b/same.png": noise,
        "b/same.jpg": noise,
        "one pixel.png": noise[:1, :1],
    }
    for name, image in good.items():
        write_image(str(folder / name), image)
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    (folder / "empty.jpg").write_bytes(b"")

    out = tmp_path / "out"
    status = run_tool(
        "segmentation_image", config=write_config(tmp_path / "data"), image_path=folder, save_dir=out, output="main"
    )
    assert status == 1
    told = capsys.readouterr().err.strip().splitlines()[-2:]
    assert [line.split(":")[0].strip() for line in told] == [str(folder / "broken.png"), str(folder / "empty.jpg")]
    drawn = {str(path.relative_to(out / "colour")) for path in (out / "colour").rglob("*.*")}
    assert drawn == {
        "sixteen bits.png",
        "alpha.png",
        "grey.png",
        "街道 Straße.png",
        "a/same.png",
        "b/same.png.png",
        "b/same.jpg.png",
        "one pixel.png",
    }
    assert read_image(str(out / "colour/one pixel.png")).shape == (1, 1, 3)


def test_without_pictures_the_validation_set_is_drawn(tmp_path, capsys):
    write_dataset(tmp_path, count=2)
    config = write_config(tmp_path)
    assert run_tool("segmentation_image", config=config, save_dir=tmp_path / "out") == 0
    assert sorted(path.name for path in (tmp_path / "out/panel").iterdir()) == ["p0.png", "p1.png"]
    assert read_image(str(tmp_path / "out/panel/p0.png")).shape[1] > 4 * 96  # with the label
    assert f"Written: {tmp_path}/out/colour, overlay and panel" in capsys.readouterr().out


def test_a_picture_turned_by_exif_is_drawn_upright(tmp_path):
    write_dataset(tmp_path, count=1)
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    turned = Image.fromarray(noise).getexif()
    turned[0x0112] = 6  # a quarter turn clockwise to be upright
    Image.fromarray(noise).save(tmp_path / "turned.jpg", exif=turned, quality=95)
    flags = {"config": write_config(tmp_path), "image_path": tmp_path / "turned.jpg", "save_dir": tmp_path / "out"}
    assert run_tool("segmentation_image", **flags) == 0
    assert read_image(str(tmp_path / "out/colour/turned.png")).shape == (60, 40, 3)
    assert run_tool("predict", **flags) == 0
    assert read_image(str(tmp_path / "out/added_prediction/turned.jpg")).shape == (60, 40, 3)


def test_16_bits_and_alpha_are_read_as_the_picture_that_they_show(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    write_image(str(tmp_path / "16.png"), image.astype(np.uint16) * 257)
    write_image(str(tmp_path / "alpha.png"), np.dstack([image, image[..., 0]]))
    for name in ("16.png", "alpha.png"):
        np.testing.assert_array_equal(read_image(str(tmp_path / name)), image)


def test_labels_come_from_a_list_or_a_folder(tmp_path):
    write_dataset(tmp_path, count=2)
    for pictures in (
        list_pictures(str(tmp_path / "val.txt")),
        list_pictures(str(tmp_path / "images"), str(tmp_path / "labels")),
    ):
        assert [(picture.name, Path(picture.label_path).name) for picture in pictures] == [
            ("p0", "p0.png"),
            ("p1", "p1.png"),
        ]
    (alone,) = list_pictures(str(tmp_path / "images/p0.png"), str(tmp_path / "labels/p0.png"))
    assert alone.label_path == str(tmp_path / "labels/p0.png")
    with pytest.raises(UserError, match="--label_path nowhere"):
        list_pictures(str(tmp_path / "images"), "nowhere")


def test_a_list_may_lead_anywhere_and_twice(tmp_path):
    for name in ("x/p.png", "y/p.png"):
        write_image(str(tmp_path / name), np.zeros((2, 2, 3), np.uint8))
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/some.txt").write_text("../x/p.png\n../y/p.png\n../x/p.png\n")
    assert [picture.name for picture in list_pictures(str(tmp_path / "lists/some.txt"))] == ["x/p", "y/p"]


def test_names_do_not_clash(tmp_path):
    names = ["a.jpg", "a.png", "a.jpg.png", "b.png", "b/a.png"]
    for name in names:
        write_image(str(tmp_path / name), np.zeros((2, 2, 3), np.uint8))
    given = {picture.path: picture.name for picture in list_pictures(str(tmp_path))}
    assert [given[str(tmp_path / name)] for name in names] == ["a.jpg", "a.png", "a.jpg.png", "b", "b/a"]


def test_a_label_of_another_size_is_told(tmp_path, capsys):
    write_dataset(tmp_path, count=2)
    write_image(str(tmp_path / "labels/p0.png"), np.zeros((5, 5), np.uint8))
    flags = {"image_path": tmp_path / "val.txt", "save_dir": tmp_path / "out"}
    assert run_tool("segmentation_image", config=write_config(tmp_path), **flags) == 1
    assert "p0.png has the shape (5, 5); expected (64, 96)" in capsys.readouterr().err
    assert (tmp_path / "out/panel/p1.png").is_file()


def test_wrong_flags_are_told(tmp_path):
    write_dataset(tmp_path, count=1)
    config = write_config(tmp_path)
    with pytest.raises(UserError, match="--opacity 2.0"):
        run_tool("segmentation_image", config=config, image_path=tmp_path / "images", opacity=2)
    with pytest.raises(UserError, match="--label_path somewhere: --image_path is missing"):
        run_tool("segmentation_image", config=config, label_path="somewhere")


def test_outputs_of_training_leave_the_network_as_it_was(tmp_path):
    write_dataset(tmp_path, count=1)
    segmenter = Segmenter.of(load_config(str(write_config(tmp_path))), device="cpu")
    model = segmenter.model
    before = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    x = paddle.randn([1, 3, 64, 64])
    main = model(x)[0].numpy()
    aux = [head_logits(model, x, "aux").numpy() for _ in range(2)]
    np.testing.assert_array_equal(*aux)  # nothing random
    assert np.abs(aux[0] - main).max() > 0
    assert not any(layer.training for layer in model.sublayers(include_self=True))
    np.testing.assert_array_equal(model(x)[0].numpy(), main)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name], err_msg=name)
    with pytest.raises(UserError, match="BiSeNetV2 has no boundary output"):
        head_logits(model, x, "boundary")


def test_overlay_mixes_colours_and_leaves_ignored_pixels(classes):
    image = np.full((1, 3, 3), 100, np.uint8)
    labels = np.array([[0, 1, 255]], np.uint8)
    half = overlay(image, labels, classes, 0.5)
    np.testing.assert_array_equal(half[0], [(50, 50, 178), (150, 50, 50), (100, 100, 100)])
    np.testing.assert_array_equal(overlay(image, labels, classes, 0), image)


def test_legend_names_what_is_there_and_panels_stand_side_by_side(classes):
    image = np.full((20, 200, 3), 100, np.uint8)
    labels = np.ones((20, 200), np.uint8)
    strip = add_legend(image, labels, classes)[20:]
    has_colour = [(strip == colour[::-1]).all(axis=-1).any() for colour in classes.colours[:2]]
    assert has_colour == [False, True]
    beside = panel({"image": image, "label": image, "prediction": image})
    titles, pictures = beside[:-20], beside[-20:]
    assert pictures.shape == (20, 3 * 200 + 2 * 2, 3)
    assert all((titles[:, x : x + 200] < 100).any() for x in (0, 202, 404))  # ink above each


def test_legends_name_classes_in_letters_that_the_font_has():
    def strip(name):
        image = np.zeros((20, 200, 3), np.uint8)
        return add_legend(image, np.zeros((20, 200), np.uint8), Classes((name,), np.zeros((256, 3), np.uint8), 255))

    np.testing.assert_array_equal(strip("Gebäude"), strip("Gebaude"))
    np.testing.assert_array_equal(strip("天空"), strip("class 0"))


def test_cityscapes_and_camvid_bring_their_colours():
    def config_of(dataset):
        class Config:
            dic = {}
            val_dataset_cfg = {"type": dataset}

        return Config()

    cityscapes, camvid = classes_of(config_of("Cityscapes")), classes_of(config_of("CamVid"))
    assert cityscapes.names[0] == "road" and tuple(cityscapes.colours[0]) == (128, 64, 128)
    assert cityscapes.index("bicycle") == cityscapes.index("18") == 18
    assert camvid.names[8] == "Car" and tuple(camvid.colours[8]) == (64, 0, 128)
    with pytest.raises(UserError, match="did you mean 'bicycle'"):
        cityscapes.index("bicycel")


def test_labels_are_those_that_the_data_set_gives(tmp_path):
    """ADE20K's files are numbered from 1, and its class subtracts 1."""
    for folder in ("images/validation", "annotations/validation"):
        (tmp_path / folder).mkdir(parents=True)
    path = tmp_path / "annotations/validation/a.png"
    write_image(str(tmp_path / "images/validation/a.jpg"), np.zeros((1, 4, 3), np.uint8))
    write_image(str(path), np.array([[0, 1, 2, 150]], np.uint8))
    label = describe(ADE20K, {}).read_label(str(path))
    assert label.tolist() == [[255, 0, 1, 149]]
    np.testing.assert_array_equal(label, ADE20K([], str(tmp_path), "val")[0]["label"][0])


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="reads the memory in use from /proc")
def test_memory_does_not_grow_over_200_pictures(tmp_path):
    paths = [str(tmp_path / f"{index}.png") for index in range(200)]
    noise = np.random.default_rng(0).integers(0, 256, (360, 480, 3)).astype(np.uint8)
    for path in paths:
        write_image(path, noise)
    model = nn.Sequential(nn.Conv2D(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2D(16, NUM_CLASSES, 1))
    segmenter = Segmenter(ListOutput(model), [Normalize()])
    resident = []

    def work(picture, image):
        segmenter.predict(image)
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        resident.append(pages * resource.getpagesize() / 2**20)

    assert for_each_picture(list_pictures(str(tmp_path)), work) == 0
    assert max(resident[100:]) - max(resident[20:100]) < 5  # MiB; an image and its logits are 3


class ListOutput(nn.Layer):
    """Gives logits as PaddleSeg's networks do."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return [self.model(x)]
