"""The tools on a small data set, from the first training to the exported network, in processes of their own."""

import contextlib
import io
import runpy
import sys
from unittest import mock

import numpy as np
import pytest
import yaml
from PIL import Image
from process_support import TOOLS, tool

from paddleseg_ext.command import run

SIZE = (96, 64)  # width, height
CLASSES = 4

MODELS = {
    "SANet": {
        "model": {"type": "SANet", "num_classes": CLASSES, "backbone": {"type": "SANetEncoder_S"}},
        "loss": {
            "types": [
                {"type": "OhemCrossEntropyLoss", "min_kept": 1000},
                {"type": "CrossEntropyLoss"},
                {"type": "BoundaryBCELoss"},
                {"type": "BoundaryAwareOhemCrossEntropyLoss", "min_kept": 1000},
            ],
            "coef": [1, 0.4, 20, 1],
        },
    },
    "EncNet": {
        "model": {
            "type": "EncNet",
            "num_classes": CLASSES,
            "mid_channels": 64,
            "backbone": {"type": "ResNet18_vd", "output_stride": 8},
        },
        "loss": {
            "types": [
                {"type": "CrossEntropyLoss"},
                {"type": "CrossEntropyLoss"},
                {"type": "EncodingBCELoss", "num_classes": CLASSES},
            ],
            "coef": [1, 0.4, 0.2],
        },
    },
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """8 images to train on and 3 to evaluate on, blocks of flat colours with noise."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 3)):
        lines = []
        for i in range(count):
            label = rng.integers(0, CLASSES, (4, 6)).astype("uint8").repeat(16, 0).repeat(16, 1)
            image = label[..., None] * 60 + rng.integers(0, 40, (*label.shape, 3))
            label[:4] = 255
            names = f"images/{split}{i}.png", f"labels/{split}{i}.png"
            for name, pixels in zip(names, (image, label)):
                (root / name).parent.mkdir(exist_ok=True)
                Image.fromarray(pixels.astype("uint8")).save(root / name)
            lines.append(" ".join(names) + "\n")
        (root / f"{split}.txt").write_text("".join(lines))
    return root


def write_config(data, path, model="SANet", iters=4, **changes):
    def dataset(mode, *transforms):
        return {
            "type": "Dataset",
            "dataset_root": str(data),
            f"{mode}_path": str(data / f"{mode}.txt"),
            "num_classes": CLASSES,
            "mode": mode,
            "transforms": [*transforms, {"type": "Normalize"}],
        }

    config = {
        "batch_size": 2,
        "iters": iters,
        "train_dataset": dataset("train", {"type": "RandomPaddingCrop", "crop_size": [64, 64]}),
        "val_dataset": dataset("val"),
        "optimizer": {"type": "SGD", "momentum": 0.9, "weight_decay": 4.0e-5},
        "lr_scheduler": {"type": "PolynomialDecay", "learning_rate": 0.01, "end_lr": 0, "power": 0.9},
        **MODELS[model],
        **changes,
    }
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_train_resume_evaluate_predict_export(model, data, tmp_path):
    config, output = write_config(data, tmp_path / "config.yml", model), tmp_path / "output"
    on_cpu = ("--config", config, "--device", "cpu")
    train = (tmp_path, "train", *on_cpu, "--save_dir", output, "--save_interval", 2, "--log_iters", 1)
    told = tool(*train, "--do_eval", "--use_vdl", "--use_ema", "--num_workers", 2, "--seed", 1)
    assert "iter: 4/4" in told and "best validation mIoU" in told
    assert (output / "best_model" / "model.pdparams").is_file() and list(output.glob("vdlrecords.*.log"))

    told = tool(*train, "--resume_model", output / "iter_4", "--iters", 6, "--precision", "fp16")
    assert "iter: 5/6" in told and "iter: 4/6" not in told

    weights = output / "iter_6" / "model.pdparams"
    evaluate = (tmp_path, "val", *on_cpu, "--model_path", weights)
    ways = [()]
    if model == "SANet":  # what the flags do does not depend on the network
        ways.append(("--aug_eval", "--scales", 0.75, 1.0, "--flip_horizontal"))
        ways.append(("--is_slide", "--crop_size", 64, 48, "--stride", 32, 32))
    for flags in ways:
        assert "mIoU: 0." in tool(*evaluate, *flags)

    flags = ("--image_path", data / "images", "--save_dir", tmp_path / "predictions")
    tool(tmp_path, "predict", *on_cpu, "--model_path", weights, *flags)
    pictures = sorted((tmp_path / "predictions" / "pseudo_color_prediction").glob("*.png"))
    assert len(pictures) == 11
    for path in pictures:
        with Image.open(path) as picture:
            assert picture.size == SIZE

    tool(tmp_path, "export", "--config", config, "--model_path", weights, "--save_dir", tmp_path / "exported")
    deploy = yaml.safe_load((tmp_path / "exported" / "deploy.yaml").read_text())["Deploy"]
    assert (tmp_path / "exported" / deploy["model"]).is_file()


def last_error(told):
    (line,) = [line for line in told.splitlines() if line.startswith("error: ")]
    return line


def error_here(name, *flags):
    """The error line of a tool that ends in this process, which is spared another import of Paddle."""
    told = io.StringIO()
    loaded = runpy.run_path(str(TOOLS / f"{name}.py"))
    with (
        mock.patch.object(sys, "argv", [name, *map(str, flags)]),
        contextlib.redirect_stderr(told),
        pytest.raises(SystemExit) as end,
    ):
        run(loaded["main"], loaded["parse_args"])
    assert end.value.code == 1
    return last_error(told.getvalue())


BAD_CONFIGS = {
    "type": ({"model": {"type": "SANnet"}}, "did you mean 'SANet'"),
    "argument": (
        {"model": {"type": "SANet", "num_clases": 4, "backbone": {"type": "SANetEncoder_S"}}},
        "SANet takes no argument 'num_clases'; did you mean 'num_classes'",
    ),
    "list": ({"list": None}, "gone.txt: there is no such file"),
    "fields": ({"list": "images/train0.png labels/train0.png 3"}, "list.txt, line 1: 3 fields"),
    "label": ({"list": "images/train0.png labels/gone.png"}, "labels/gone.png: listed, but there is no such file"),
    "image": ({"list": "broken.png labels/train0.png"}, "broken.png: not a readable image"),
    "size": ({"list": "small.png labels/train0.png"}, "96x64 pixels, but its image"),
}


@pytest.mark.parametrize(
    ("case", "num_workers"),
    [
        *((case, 0) for case in BAD_CONFIGS),
        pytest.param("image", 1, marks=pytest.mark.slow),
        pytest.param("size", 1, marks=pytest.mark.slow),
    ],
)
def test_bad_input_ends_in_one_line(case, num_workers, data, tmp_path):
    changes, expected = BAD_CONFIGS[case]
    config = yaml.safe_load(write_config(data, tmp_path / "config.yml").read_text())
    if "list" in changes:
        config["train_dataset"]["train_path"] = str(tmp_path / ("list.txt" if changes["list"] else "gone.txt"))
        (tmp_path / "list.txt").write_text(f"{changes['list']}\n" * 4)
        (data / "broken.png").write_text("not an image")
        Image.new("RGB", (40, 30)).save(data / "small.png")
    else:
        config.update(changes)
    (tmp_path / "config.yml").write_text(yaml.safe_dump(config))
    flags = ["--config", tmp_path / "config.yml", "--device", "cpu", "--save_dir", tmp_path / "output",
             "--num_workers", num_workers]  # fmt: skip
    told = last_error(tool(tmp_path, "train", *flags, status=1)) if num_workers else error_here("train", *flags)
    assert expected in told


def test_missing_files_end_in_one_line(data, tmp_path):
    config = write_config(data, tmp_path / "config.yml")
    assert "gone.yml: there is no such file" in error_here("train", "--config", "gone.yml")
    told = error_here("val", "--config", config, "--model_path", "gone.pdparams", "--device", "cpu")
    assert "gone.pdparams: there is no such file" in told
