"""The Python API: a trained network as a function, and the lines that README shows."""

import shutil

import cv2
import numpy as np
import paddle
import pytest
from deploy_support import network
from picture_support import run_tool, write_config, write_dataset
from PIL import Image

import paddleseg_ext
from paddleseg_ext import Predictor, builder
from paddleseg_ext.builder import find_run
from paddleseg_ext.command import UserError
from paddleseg_ext.files import read_image
from paddleseg_ext.predictor import as_bgr


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """What a training leaves: config.yml, a best model and checkpoints."""
    folder = tmp_path_factory.mktemp("run")
    write_dataset(folder / "data")
    shutil.move(write_config(folder / "data", type="FoldingCases"), folder / "config.yml")
    for name in ("best_model", "iter_90", "iter_100"):
        (folder / name).mkdir()
        paddle.save(network().state_dict(), str(folder / name / "model.pdparams"))
    return folder


@pytest.fixture(scope="module")
def predictor(run_folder):
    return Predictor(run_folder, device="cpu")


def test_labels_are_those_of_predict(run_folder, predictor, tmp_path):
    picture = run_folder / "data/images/p0.png"
    labels = predictor(picture)
    assert labels.dtype == np.uint8 and labels.shape == (64, 96) and len(np.unique(labels)) > 1
    assert run_tool("predict", model_path=run_folder, image_path=picture, save_dir=tmp_path) == 0
    np.testing.assert_array_equal(labels, np.asarray(Image.open(tmp_path / "pseudo_color_prediction/p0.png")))
    assert predictor.classes.names[labels[0, 0]].startswith("class ")


def test_every_kind_of_picture_gives_the_same(run_folder, predictor):
    path = str(run_folder / "data/images/p1.png")
    kinds = [path, Image.open(path), read_image(path), Image.open(path).convert("RGBA")]
    expected = predictor(path)
    for labels in predictor(kinds):
        np.testing.assert_array_equal(labels, expected)
    assert (predictor(np.ascontiguousarray(read_image(path)[..., ::-1])) != expected).any()  # not RGB


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_pillow_images_are_turned_as_files_are(tmp_path, suffix):
    image = Image.fromarray(np.arange(40 * 60, dtype=np.uint8).reshape(40, 60)).convert("RGB")
    turned = image.getexif()
    turned[0x0112] = 6  # a quarter turn clockwise to be upright
    image.save(tmp_path / f"turned.{suffix}", exif=turned, quality=95)
    path = str(tmp_path / f"turned.{suffix}")
    assert as_bgr(path).shape == ((40, 60, 3) if suffix == "webp" else (60, 40, 3))  # OpenCV reads no EXIF in WebP
    difference = as_bgr(Image.open(path)).astype(int) - as_bgr(path)
    assert np.abs(difference).max() <= 2  # two decoders


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bits_are_read_as_those_of_a_file(tmp_path, suffix):
    path = str(tmp_path / f"16.{suffix}")
    cv2.imwrite(path, np.arange(48, dtype=np.uint16).reshape(6, 8) * 1000)
    np.testing.assert_array_equal(as_bgr(Image.open(path)), as_bgr(path))
    with pytest.raises(ValueError, match="mode F; expected 8 or 16 bits"):
        as_bgr(Image.new("F", (2, 2)))


@pytest.mark.parametrize(
    "image, told",
    [
        (np.zeros((4, 5, 3), np.float32), r"float32 of shape \(4, 5, 3\)"),
        (np.zeros((4, 5), np.uint8), r"uint8 of shape \(4, 5\)"),
        (7, "image is int"),
    ],
)
def test_what_is_no_picture_is_told(predictor, image, told):
    with pytest.raises(ValueError, match=told):
        predictor(image)


def test_what_a_model_path_names(run_folder, tmp_path):
    config, best = str(run_folder / "config.yml"), str(run_folder / "best_model/model.pdparams")
    for path in (run_folder, run_folder / "best_model", best):
        assert find_run(None, str(path)) == (config, best)
    assert find_run("other.yml", str(run_folder)) == ("other.yml", best)
    assert find_run("other.yml", None) == ("other.yml", None)
    for name in ("iter_90", "iter_100"):
        shutil.copytree(run_folder / name, tmp_path / name)
    never_evaluated = find_run("other.yml", str(tmp_path))
    assert never_evaluated[1] == str(tmp_path / "iter_100/model.pdparams")
    with pytest.raises(UserError, match="--config is missing, and there is no config.yml beside"):
        find_run(None, str(tmp_path))
    with pytest.raises(UserError, match="--model_path .*typo: there is no such file or folder"):
        find_run(None, str(tmp_path / "typo"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"holds no model.pdparams, best_model/model.pdparams or iter_"):
        find_run(None, str(tmp_path / "empty"))


def test_tools_take_a_run_folder(run_folder, tmp_path, capfd, monkeypatch):
    warnings = []
    monkeypatch.setattr(builder.logger, "warning", warnings.append)
    assert run_tool("val", model_path=run_folder) is None
    assert "class 3" in capfd.readouterr().out
    assert run_tool("export", model_path=run_folder / "best_model", save_dir=tmp_path) is None
    assert (tmp_path / "deploy.yaml").is_file()
    assert run_tool("val", config=run_folder / "config.yml") is None
    assert ["--model_path is missing: the network has random weights" in line for line in warnings] == [True]


def test_opts_reach_into_lists(run_folder):
    from paddleseg_ext.builder import load_config

    def changed(*opts):
        return load_config(str(run_folder / "config.yml"), opts=list(opts)).dic

    assert changed("val_dataset.transforms.0.mean=[0.1,0.2,0.3]")["val_dataset"]["transforms"][0]["mean"] == [
        0.1,
        0.2,
        0.3,
    ]
    assert changed("test_config={scales: [1, 2]}")["test_config"] == {"scales": [1, 2]}
    assert changed("loss.coef.0=0.5")["loss"]["coef"] == [0.5]
    dic = changed("val_dataset.dataset_root=a=b", "lr_scheduler.learning_rate=1e-3", "model.pretrained=null")
    assert dic["val_dataset"]["dataset_root"] == "a=b" and dic["lr_scheduler"]["learning_rate"] == 0.001
    assert dic["model"]["pretrained"] is None
    for option, told in (
        ("iters", "write KEY=VALUE"),
        ("modle.type=SANet", "no 'modle' there; did you mean 'model'"),
        ("loss.coef.1=2", "'1' should be a number from 0 to 0"),
        ("iter=7", "the config has no 'iter'; did you mean 'iters'"),
        ("iters.a.b=2", "'a' leads into 1, which is one value"),
    ):
        with pytest.raises(UserError, match=f"--opts {option}: .*{told}"):
            changed(option)


README = """
import paddle
from paddleseg_ext import BoundaryAwareOhemCrossEntropyLoss, BoundaryBCELoss, SANet

network = SANet(num_classes=19, outputs=["main", "boundary", "boundary_aware"])
optimizer = paddle.optimizer.AdamW(1e-3, parameters=network.parameters())
losses = [paddle.nn.CrossEntropyLoss(axis=1, ignore_index=255), BoundaryBCELoss(), BoundaryAwareOhemCrossEntropyLoss()]
images, labels = paddle.randn([2, 3, 128, 256]), paddle.randint(0, 19, [2, 128, 256])

total = sum(loss(logits, labels) for loss, logits in zip(losses, network(images)))  # one training step
total.backward()
optimizer.step()
network.eval()
classes = network(images)[0].argmax(axis=1)  # (2, 128, 256)
"""


def test_lines_of_the_readme_run():
    paddle.seed(0)
    names = {}
    exec(README, names)
    assert names["classes"].shape == [2, 128, 256] and np.isfinite(float(names["total"]))


def test_public_names_are_the_components():
    names = paddleseg_ext.__all__
    assert {"SANet", "EncNet", "BoundaryBCELoss", "CamVid", "Predictor", "binary_boundary"} <= set(names)
    assert all(getattr(paddleseg_ext, name).__module__.startswith("paddleseg_ext.") for name in names)
    assert set(names) <= set(dir(paddleseg_ext))
    with pytest.raises(AttributeError, match="no attribute 'SANett'"):
        paddleseg_ext.SANett  # noqa: B018
    assert "yaml" not in names and "paddle" not in names
