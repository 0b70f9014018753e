"""Grey images: what the data set's `img_channels: 1` does to everything that a network is used for."""

import numpy as np
import paddle
import pytest
import yaml
from paddleseg import transforms as T
from picture_support import SANET, run_tool, write_config, write_dataset
from PIL import Image

from paddleseg_ext import Predictor
from paddleseg_ext.builder import Builder, load_config
from paddleseg_ext.command import UserError
from paddleseg_ext.deploy import exporting
from paddleseg_ext.deploy.exporting import checking_inputs
from paddleseg_ext.deploy.runtimes import EagerSession
from paddleseg_ext.files import read_image
from paddleseg_ext.segmenter import prepare


@pytest.fixture(scope="module")
def grey(tmp_path_factory):
    """A folder with grey images, and flags that name its config and weights."""
    folder = write_dataset(tmp_path_factory.mktemp("grey"), count=2)
    for path in (folder / "images").iterdir():
        Image.open(path).convert("L").save(path)
    path = write_config(folder, **SANET)
    settings = yaml.safe_load(path.read_text())
    for section in ("train_dataset", "val_dataset"):
        settings[section]["img_channels"] = 1
    path.write_text(yaml.safe_dump(settings))
    paddle.seed(0)
    paddle.save(Builder(load_config(str(path))).model.state_dict(), str(folder / "weights.pdparams"))
    return folder, {"config": path, "model_path": folder / "weights.pdparams"}


@pytest.mark.parametrize("tool", ["predict", "report", "heat_map", "segmentation_image", "boundary_image"])
def test_every_tool(grey, tool, tmp_path, capsys):
    folder, flags = grey
    assert run_tool(tool, image_path=folder / "images", save_dir=tmp_path, **flags) == 0
    assert "warning" not in capsys.readouterr().err  # the report's heat maps would be missing with one


def test_labels_are_those_of_what_the_data_set_reads(grey):
    folder, flags = grey
    builder = Builder(load_config(str(flags["config"])))
    builder.model.set_state_dict(paddle.load(str(flags["model_path"])))
    builder.model.eval()
    logits = builder.model(paddle.to_tensor(builder.val_dataset[0]["img"][None]))[0]
    path = str(folder / "images/p0.png")
    kinds = [path, Image.open(path), read_image(path)]
    for labels in Predictor(flags["model_path"], flags["config"], "cpu")(kinds):
        np.testing.assert_array_equal(labels, logits[0].argmax(axis=0).numpy())


def test_exported(grey, tmp_path):
    folder, flags = grey
    run_tool("export", image_path=folder / "images", save_dir=tmp_path / "exported", **flags)
    description = yaml.safe_load((tmp_path / "exported/deploy.yaml").read_text())["Deploy"]
    assert description["input_shape"] == [-1, 1, -1, -1]
    ways = {"paddle": flags, "inference": {"model_dir": tmp_path / "exported"}}
    for way, which in ways.items():
        where = {"image_path": folder / "images", "save_dir": tmp_path / way}
        assert run_tool("predict", backend=way, **where, **which) == 0
    for name in ("p0.png", "p1.png"):
        labels = [np.asarray(Image.open(tmp_path / way / "pseudo_color_prediction" / name)) for way in ways]
        assert (labels[0] == labels[1]).mean() >= 0.999


def test_checked_with_grey_noise_and_a_fixed_shape(grey, tmp_path):
    config = load_config(str(grey[1]["config"]))
    assert [noise.shape[:2] for noise in checking_inputs(config, None, None)] == [(1, 1)] * 3
    with pytest.raises(UserError, match="the network does not take an input of 1x3x64x64"):
        run_tool("export", input_shape=[1, 3, 64, 64], save_dir=tmp_path, **grey[1])
    image = np.zeros((1, 1, 7, 9), np.float32)
    with pytest.raises(UserError, match="none of the sizes 7x9.*--input_shape 1 1 HEIGHT WIDTH"):
        exporting.outputs_of(EagerSession(paddle.nn.Conv2D(2, 2, 1)), [image], keep_to_shape=False)


@pytest.mark.parametrize("operations", [[], [T.Normalize()], [T.Resize([32, 16]), T.Normalize()]])
def test_grey_images_are_prepared_as_paddleseg_does(operations):
    image = np.random.default_rng(0).integers(0, 256, (20, 30)).astype(np.uint8)
    transforms = T.Compose(operations, img_channels=1)
    ours, theirs = prepare(np.dstack([image] * 3), transforms), transforms({"img": image.astype(np.float32)})
    np.testing.assert_array_equal(ours["img"], theirs["img"])
    assert ours["img"].dtype == theirs["img"].dtype and ours["trans_info"] == theirs["trans_info"]
