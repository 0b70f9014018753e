"""What the tests of the image tools share: a tool run in this process, a small data set, a small network's config."""

import runpy
import sys
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import yaml

TOOLS = Path(__file__).resolve().parents[1] / "tools"
NUM_CLASSES = 4


def run_tool(name, **flags):
    """The exit status of tools/<name>.py; a flag that is True stands alone, a list gives several values."""
    arguments = []
    for flag, value in flags.items():
        values = value if isinstance(value, list) else [] if value is True else [value]
        arguments += [f"--{flag}", *map(str, values)]
    tool = runpy.run_path(str(TOOLS / f"{name}.py"))
    device = [] if name in ("convert_weights", "export", "training_curves") else ["--device", "cpu"]
    with mock.patch.object(sys, "argv", [name, *arguments, *device]):
        return tool["main"](tool["parse_args"]())


def write_dataset(folder, count=3, size=(96, 64)):
    """Images of coloured blocks (images/p0.png, ...) with their labels (labels/p0.png, ...) and the list val.txt."""
    rng = np.random.default_rng(0)
    lines = []
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    for index in range(count):
        blocks = rng.integers(0, NUM_CLASSES, (4, 6)).astype(np.uint8)
        label = cv2.resize(blocks, size, interpolation=cv2.INTER_NEAREST)
        noise = rng.integers(0, 40, (*label.shape, 3))
        cv2.imwrite(str(folder / f"images/p{index}.png"), label[..., None] * 60 + noise)
        cv2.imwrite(str(folder / f"labels/p{index}.png"), label)
        lines.append(f"images/p{index}.png labels/p{index}.png\n")
    (folder / "val.txt").write_text("".join(lines))
    return folder


def write_config(folder, **model):
    """A config over `write_dataset(folder)`; the network is PaddleSeg's BiSeNetV2 unless `model` says otherwise."""
    dataset = {
        "type": "Dataset",
        "dataset_root": str(folder),
        "val_path": str(folder / "val.txt"),
        "num_classes": NUM_CLASSES,
        "transforms": [{"type": "Normalize"}],
        "mode": "val",
    }
    config = {
        "batch_size": 1,
        "iters": 1,
        "train_dataset": {**dataset, "mode": "train", "train_path": str(folder / "val.txt")},
        "val_dataset": dataset,
        "optimizer": {"type": "SGD"},
        "lr_scheduler": {"type": "PolynomialDecay", "learning_rate": 0.01, "power": 0.9},
        "loss": {"types": [{"type": "CrossEntropyLoss"}], "coef": [1]},
        "model": {"num_classes": NUM_CLASSES, **(model or {"type": "BiSeNetV2"})},
    }
    path = folder / "config.yml"
    path.write_text(yaml.safe_dump(config))
    return path


SANET = {"type": "SANet", "backbone": {"type": "SANetEncoder", "base_channels": 8}}
ENCNET = {"type": "EncNet", "backbone": {"type": "ResNet18_vd"}, "mid_channels": 16}
EVERY_NETWORK = [{"type": "BiSeNetV2"}, SANET, ENCNET]
