import numpy as np
import paddle
import pytest
from paddle import nn
from paddleseg.transforms import Normalize, Padding, Resize
from picture_support import EVERY_NETWORK, NUM_CLASSES, run_tool, write_config, write_dataset

from paddleseg_ext.analysis.feature_maps import map_shapes, visit_maps
from paddleseg_ext.analysis.heat_map import box_region, choose_layer, grad_cam, layer_shapes
from paddleseg_ext.command import UserError
from paddleseg_ext.files import read_image
from paddleseg_ext.segmenter import Segmenter


class Linear(nn.Layer):
    """Two 1x1 convolutions in a row, so that the gradient of a class's logit is a column of the second's weight."""

    def __init__(self):
        super().__init__()
        self.features = nn.Conv2D(3, 5, 1)
        self.classifier = nn.Conv2D(5, NUM_CLASSES, 1)

    def forward(self, x):
        return [self.classifier(self.features(x))]


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (12, 17, 3)).astype(np.uint8)


@pytest.fixture
def linear():
    paddle.seed(0)
    model = Linear()
    model.eval()
    return Segmenter(model, [Normalize()])


def formula(segmenter, image, class_index, region):
    """relu(|R| / (H W) * sum_k w_ck A_k), with R the region and w the classifier's weight."""
    features = segmenter.model.features(segmenter.preprocess(image)[0])[0].numpy()
    weight = segmenter.model.classifier.weight.numpy()[class_index, :, 0, 0]
    return np.maximum(region.mean() * np.tensordot(weight, features, 1), 0)


REGIONS = {"whole": (0, 0, 17, 12), "box": (3, 2, 9, 8), "pixel": (16, 11, 17, 12)}


@pytest.mark.parametrize("box", REGIONS.values(), ids=REGIONS)
def test_grad_cam_of_a_linear_network_is_the_formula(linear, image, box):
    region = box_region(image.shape[:2], *box)
    heats = grad_cam(linear, image, "features", list(range(NUM_CLASSES)), region)
    for index, heat in enumerate(heats):
        assert heat.class_index == index
        np.testing.assert_allclose(heat.cam, formula(linear, image, index, region), rtol=0, atol=1e-5)
    assert max(heat.cam.max() for heat in heats) > 1e-3


def test_without_a_region_the_predicted_pixels_count(linear, image):
    predicted = linear.predict(image)
    heats = grad_cam(linear, image, "features")
    assert [heat.class_index for heat in heats] == np.unique(predicted).tolist()
    for heat in heats:
        expected = formula(linear, image, heat.class_index, predicted == heat.class_index)
        np.testing.assert_allclose(heat.cam, expected, rtol=0, atol=1e-5)


def test_an_absent_class_is_explained_over_the_whole_picture(linear, image):
    linear.model.classifier.bias.set_value(np.float32([-100, 0, 0, 0]))
    (heat,) = grad_cam(linear, image, "features", [0])
    everywhere = np.ones(image.shape[:2], bool)
    np.testing.assert_allclose(heat.cam, formula(linear, image, 0, everywhere), rtol=0, atol=1e-5)


def test_probabilities_are_the_softmax_of_the_logits(linear, image):
    heats = grad_cam(linear, image, "features", list(range(NUM_CLASSES)))
    logits = linear.logits(image)[0].numpy()
    expected = np.exp(logits) / np.exp(logits).sum(axis=0)
    np.testing.assert_allclose([heat.probability for heat in heats], expected, atol=1e-6)


def test_heat_has_the_size_of_the_picture_whatever_the_transforms_do(linear, image):
    for transform in (Resize(target_size=(40, 20)), Padding(target_size=(32, 32))):
        segmenter = Segmenter(linear.model, [transform, Normalize()])
        (heat,) = grad_cam(segmenter, image, "features", [1])
        assert heat.cam.shape == heat.probability.shape == image.shape[:2]


def test_regions_end_at_the_picture():
    assert box_region((4, 5), -2, 1, 2, 99).tolist() == [[False] * 5] + [[True, True, False, False, False]] * 3
    with pytest.raises(ValueError, match="x 7 to 8, y 0 to 1 lies outside the image of 5x4"):
        box_region((4, 5), 7, 0, 8, 1)


def test_unknown_and_unused_layers_are_told(linear, image):
    with pytest.raises(ValueError, match="layer is feature; expected one of .*'features'"):
        grad_cam(linear, image, "feature")

    class WithSide(Linear):
        def __init__(self):
            super().__init__()
            self.side = nn.Conv2D(3, 2, 1)

        def forward(self, x):
            self.side(x)
            return super().forward(x)

    with pytest.raises(ValueError, match="does not depend on the layer side"):
        grad_cam(Segmenter(WithSide(), [Normalize()]), image, "side")


def test_maps_are_named_and_replaced():
    class Stages(nn.Layer):
        def forward(self, x):
            return [x, 2 * x]

    class Sum(nn.Layer):
        def __init__(self):
            super().__init__()
            self.stages = Stages()

        def forward(self, x):
            first, second = self.stages(x)
            return first + second

    model, x = Sum(), paddle.ones([1, 1, 2, 2])
    assert map_shapes(model, x) == {"stages[0]": [1, 1, 2, 2], "stages[1]": [1, 1, 2, 2]}
    with visit_maps(model, lambda name, value: value * 10 if name == "stages[1]" else None):
        assert float(model(x).max()) == 21
    assert float(model(x).max()) == 3


def test_the_default_layer_feeds_the_classes():
    shapes = {"a": [1, 8, 4, 4], "b": [1, 16, 4, 4], "head": [1, NUM_CLASSES, 4, 4]}
    assert choose_layer(shapes, NUM_CLASSES) == "b"


def test_layers_beside_the_main_output_are_no_choice(linear):
    class WithLateSide(Linear):
        def __init__(self):
            super().__init__()
            self.side = nn.Conv2D(5, 2, 1)

        def forward(self, x):
            features = self.features(x)
            main = self.classifier(features)
            return [main, self.side(features)]  # an auxiliary head that runs last

    shapes = layer_shapes(Segmenter(WithLateSide(), [Normalize()]))
    assert list(shapes) == ["features", "classifier"]
    assert choose_layer(shapes, NUM_CLASSES) == "features"
    with pytest.raises(UserError, match="--layer side: the main output depends on no such layer"):
        choose_layer(shapes, NUM_CLASSES, "side")
    with pytest.raises(UserError, match="--layer is missing"):
        choose_layer({"head": [1, NUM_CLASSES, 4, 4]}, NUM_CLASSES)


@pytest.mark.parametrize("network", EVERY_NETWORK, ids=lambda network: network["type"])
def test_every_network(tmp_path, network, capsys):
    write_dataset(tmp_path, count=1)
    flags = {"config": write_config(tmp_path, **network), "save_dir": tmp_path / "out"}
    assert run_tool("heat_map", list_layers=True, **flags) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines() if "for an image of 256x256" in line]
    assert run_tool("heat_map", image_path=tmp_path / "images", classes=["0", "class 2"], **flags) == 0
    drawn = sorted(path.name for path in (tmp_path / "out/p0").iterdir())
    assert drawn == ["cam_class_0.png", "cam_class_2.png", "probability_class_0.png", "probability_class_2.png"]
    assert read_image(str(tmp_path / "out/p0/cam_class_0.png")).shape == (64, 96, 3)
    backbone = next(name for name in listed if name.startswith("backbone") or "." in name)
    assert run_tool("heat_map", image_path=tmp_path / "images", layer=backbone, pixel=[90, 60], **flags) == 0


def test_names_of_classes_become_names_of_files(tmp_path):
    write_dataset(tmp_path, count=1)
    (tmp_path / "classes.txt").write_text("sky\nroad/path\ntraffic light\na\\b\n")
    flags = {"config": write_config(tmp_path), "image_path": tmp_path / "images", "save_dir": tmp_path / "out"}
    assert run_tool("heat_map", classes=["road/path", "traffic light", 3], **flags) == 0
    drawn = {path.name for path in (tmp_path / "out/p0").iterdir()}
    assert {"cam_road_path.png", "cam_traffic_light.png", "probability_a_b.png"} < drawn and len(drawn) == 6


def test_wrong_flags_are_told(tmp_path, capsys):
    write_dataset(tmp_path, count=1)
    flags = {"config": write_config(tmp_path), "image_path": tmp_path / "images", "save_dir": tmp_path / "out"}
    with pytest.raises(UserError, match="--layer nothing"):
        run_tool("heat_map", layer="nothing", **flags)
    with pytest.raises(UserError, match="class 9"):
        run_tool("heat_map", classes=[9], **flags)
    assert run_tool("heat_map", pixel=[500, 0], **flags) == 1  # outside of this image, not of every one
    assert "Written" not in capsys.readouterr().out
