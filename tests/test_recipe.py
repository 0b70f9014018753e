"""SANet's Cityscapes recipe as a whole, from the YAML on, against the authors' numbers."""

from pathlib import Path

import numpy as np
import paddle
import pytest
from paddleseg.core.train import loss_computation
from picture_support import run_tool
from PIL import Image
from reference_support import image, labels, numbers, official_parameters, random_of

from paddleseg_ext.builder import Builder, drop_pretrained, load_config
from paddleseg_ext.weights.sanet import convert

CONFIG = Path(__file__).resolve().parents[1] / "configs/sanet/sanet_s_cityscapes_1024x1024_120k.yml"
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.fixture(scope="module")
def recipe():
    """The network with the authors' parameters, in evaluation mode, and its losses."""
    config = load_config(str(CONFIG))
    for loss in config.dic["loss"]["types"]:
        if "min_kept" in loss:
            loss["min_kept"] = 3000
    config.dic["model"]["num_classes"] = 19
    builder = Builder(config)
    network, losses = builder.model, builder.loss
    shapes = {name: value.shape for name, value in network.state_dict().items()}
    weights, coverage = convert(official_parameters("SANet-S"), shapes)
    assert coverage.complete
    network.set_state_dict(weights)
    network.eval()
    return network, losses


@pytest.fixture(scope="module")
def weights(recipe, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "official.pdparams"
    paddle.save(recipe[0].state_dict(), str(path))
    return path


def test_losses_are_the_authors(recipe):
    network, losses = recipe
    expected = numbers("sanet_recipe")
    pictures = paddle.to_tensor(image("shared_recipe_x", (2, 3, 192, 256)))
    edges = paddle.to_tensor(image("shared_recipe_e", (2, 192, 256)) > 1.2).astype("int64")
    target = paddle.to_tensor(labels("shared_recipe_y", (2, 192, 256), 19))
    network.training = True  # all outputs, with the batch norms still in evaluation mode
    try:
        outputs = network(pictures)
    finally:
        network.training = False
    got = [float(value) for value in loss_computation(outputs, target, edges, losses)]
    names = ("main", "aux", "boundary", "boundary_aware")
    parts = [float(expected[name]) * (0.4 if name == "aux" else 1) for name in names]
    np.testing.assert_allclose(got, parts, rtol=1e-4)
    assert sum(got) == pytest.approx(float(expected["total"]), rel=1e-4)


def test_class_weights_are_the_authors(recipe):
    weights = numbers("sanet_recipe")["class_weights"]
    for loss in recipe[1]["types"]:
        if not getattr(loss, "edge_label", False):
            np.testing.assert_array_equal(loss.weight.numpy(), weights)


def enlarge(scores, height, width):
    """(K, h, w) to (K, height, width): bilinear, the corner pixels staying corners."""
    for axis, side in ((1, height), (2, width)):
        place = np.arange(side) * (scores.shape[axis] - 1) / (side - 1)
        low = np.minimum(place.astype(int), scores.shape[axis] - 2)
        part = (place - low).reshape([-1 if i == axis else 1 for i in range(3)])
        scores = scores.take(low, axis) * (1 - part) + scores.take(low + 1, axis) * part
    return scores


def test_labels_of_the_authors_logits(recipe):
    """Their main logits at an eighth of the size, enlarged by NumPy, and what the network makes of the same input."""
    expected = enlarge(numbers("sanet_s_128x256")["main"][0], 128, 256).argmax(0)
    with paddle.no_grad():
        got = recipe[0](paddle.to_tensor(image("sanet_s_128x256", (1, 3, 128, 256))))[0].argmax(1).numpy()[0]
    assert (got == expected).mean() >= 0.9995


def write_picture(path, height, width):
    """Blocks of colours with some noise, as PNG."""
    random = random_of("recipe image")
    blocks = random.integers(0, 230, (-(-height // 16), -(-width // 16), 3)).repeat(16, 0).repeat(16, 1)
    picture = (blocks[:height, :width] + random.integers(0, 26, (height, width, 3))).astype(np.uint8)
    Image.fromarray(picture).save(path)
    return picture


def labels_by_numpy(network, picture):
    """Of an RGB image: normalised and enlarged by NumPy; only the convolutions between are the network's."""
    normalised = ((picture / 255 - MEAN) / DEVIATION).astype(np.float32).transpose(2, 0, 1)
    small = []
    hook = network.main_head.register_forward_post_hook(lambda _, inputs, output: small.append(output.numpy()[0]))
    with paddle.no_grad():
        network(paddle.to_tensor(normalised[np.newaxis]))
    hook.remove()
    return enlarge(small[0], *picture.shape[:2]).argmax(0)


def predicted(folder, name):
    return np.array(Image.open(folder / "pseudo_color_prediction" / name))


@pytest.mark.slow
@pytest.mark.parametrize("size", [(128, 192), (120, 200)], ids=str)
def test_predicted_and_exported_labels(recipe, weights, exported, tmp_path, size):
    picture = write_picture(tmp_path / "a.png", *size)
    expected = labels_by_numpy(recipe[0], picture)
    assert len(np.unique(expected)) > 3
    check_tools(weights, exported, tmp_path / "a.png", expected, tmp_path)


@pytest.mark.slow
def test_labels_of_the_camvid_picture_are_the_authors(shared, weights, exported, tmp_path):
    picture = shared / "data/camvid/val/0016E5_07959.jpg"
    check_tools(weights, exported, picture, numbers("sanet_recipe")["labels"], tmp_path)


@pytest.fixture(scope="module")
def exported(weights, tmp_path_factory):
    """The recipe's network in ONNX Runtime's and Paddle Inference's form."""
    pytest.importorskip("paddle2onnx")
    folder = tmp_path_factory.mktemp("exported")
    write_picture(folder / "a.png", 128, 192)
    flags = {"config": CONFIG, "model_path": weights, "opts": "model.num_classes=19"}
    run_tool("export", **flags, save_dir=folder / "network", onnx=True, fold_bn=True, image_path=folder / "a.png")
    return folder / "network"


def check_tools(weights, exported, picture, expected, folder):
    """The image's labels by predict, and by the exported network in ONNX Runtime and Paddle Inference."""
    run_tool("predict", config=CONFIG, model_path=weights, image_path=picture, save_dir=folder / "paddle")
    for backend in ("inference", "onnxruntime"):
        run_tool("predict", image_path=picture, save_dir=folder / backend, backend=backend, model_dir=exported)
    name = Path(picture).with_suffix(".png").name
    for backend in ("paddle", "inference", "onnxruntime"):
        assert (predicted(folder / backend, name) == expected).mean() >= 0.9995, backend


def transforms_of(name):
    config = load_config(str(CONFIG.with_name(f"{name}.yml")))
    builder = Builder(config)
    return [builder.build_component(settings) for settings in config.train_dataset_cfg["transforms"]]


def sample(height, width, value=255):
    label = np.zeros((height, width), np.uint8)
    label[:, width // 2 :] = 1
    return {"img": np.full((height, width, 3), value, np.float32), "label": label, "gt_fields": ["label"]}


@pytest.mark.parametrize(
    "name, size, scales",
    [
        ("sanet_s_cityscapes_1024x1024_120k", (64, 128), np.arange(5, 22) / 10),
        ("sanet_s_camvid_960x720_9k", (90, 120), np.arange(5, 22) / 10),
        ("sanet_s_gtav_1024x1024_234k", (132, 240), np.arange(5, 22) / 20),  # they scale the long side to 960 first
    ],
)
def test_scales_are_the_authors(name, size, scales):
    edges, scaling, *_ = transforms_of(name)
    np.random.seed(0)
    widths = {scaling(edges(sample(*size)))["img"].shape[1] for _ in range(150)}
    assert len(widths) == len(scales)
    np.testing.assert_allclose(sorted(widths), scales * size[1], atol=1)


@pytest.mark.parametrize("name", ["sanet_s_cityscapes_1024x1024_120k", "sanet_s_gtav_1024x1024_234k"])
def test_small_pictures_are_padded_with_black(name):
    """Before they are normalised; the label is ignored there, and for `EdgeLabelBCELoss` there is no boundary."""
    data = sample(100, 200)
    for transform in transforms_of(name):
        data = transform(data)
    black, white = -MEAN / DEVIATION, (1 - MEAN) / DEVIATION
    padding = data["label"] == 255
    assert data["img"].shape[:2] == padding.shape == (1024, 1024) and 0.9 < padding.mean() < 1
    np.testing.assert_allclose(data["img"][padding], np.broadcast_to(black, (padding.sum(), 3)), atol=1e-5)
    np.testing.assert_allclose(data["img"][~padding], np.broadcast_to(white, ((~padding).sum(), 3)), atol=1e-5)
    assert set(np.unique(data["edge"][padding])) <= {0, 255} and (data["edge"][~padding] == 1).any()


@pytest.mark.parametrize("dataset", ["camvid_960x720_9k", "gtav_1024x1024_234k"])
@pytest.mark.parametrize("variant", "sml")
def test_fine_tuning_names_its_starting_point(dataset, variant):
    """Cityscapes weights, and how to make them; the variant from scratch has none."""
    path = CONFIG.with_name(f"sanet_{variant}_{dataset}.yml")
    config = load_config(str(path))
    file = config.model_cfg["pretrained"]
    assert file in path.read_text().split("_base_")[0] and config.train_dataset_cfg["mode"] == "trainval"
    with pytest.raises(RuntimeError, match=f"pretrained: {file}: there is no such file: .*convert"):
        Builder(config).model  # noqa: B018
    scratch = load_config(str(CONFIG.with_name(f"sanet_{variant}_scratch_{dataset}.yml")))
    assert scratch.model_cfg["pretrained"] is None and scratch.lr_scheduler_cfg["learning_rate"] == 0.01


def test_evaluation_needs_no_starting_point(recipe):
    """Trained weights replace it anyway."""
    config = load_config(str(CONFIG.with_name("sanet_s_camvid_960x720_9k.yml")))
    drop_pretrained(config)
    assert Builder(config).model.main_head[1][2].weight.shape[0] == 11
