"""The boundary losses in stock networks by YAML alone: train, evaluate, export; and what a wrong YAML is told."""

import re
from pathlib import Path

import pytest
import yaml
from picture_support import run_tool, write_config, write_dataset

from paddleseg_ext.builder import Builder, load_config
from paddleseg_ext.command import one_line
from paddleseg_ext.losses.common import set_steps

CONFIGS = sorted((Path(__file__).resolve().parents[1] / "configs" / "boundary").glob("*.yml"))
NETWORKS = {
    "PPLiteSeg": (
        {"backbone": {"type": "STDC1"}, "arm_out_chs": [32, 64, 128], "seg_head_inter_chs": [32, 64, 64]},
        [{"type": "CrossEntropyLoss"}, {"type": "CrossEntropyLoss"}],
    ),
    "DDRNet_23": ({}, []),
}


def write_mixed(folder, loss, network="DDRNet_23"):
    """A config over `write_dataset(folder)` with `loss` beside cross entropy."""
    model, other_losses = NETWORKS[network]
    path = write_config(folder, type=network, **model)
    config = yaml.safe_load(path.read_text())
    mixed = {"type": "MixedLoss", "losses": [{"type": "CrossEntropyLoss"}, loss], "coef": [1, 1]}
    config["loss"] = {"types": [mixed, *other_losses], "coef": [1] * (1 + len(other_losses))}
    config["batch_size"] = 2
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_train_evaluate_export(tmp_path, network):
    """With each loss; evaluation and export do not depend on it."""
    write_dataset(tmp_path / "data", size=(128, 128))
    # small steps: after two of 0.01 the logits are millions, whose digits differ between backends
    flags = {"iters": 2, "save_interval": 2, "learning_rate": 1e-4}
    for loss in ({"type": "ActiveBoundaryLoss", "ramp_iters": 1}, {"type": "BoundaryDoULoss"}):
        config, output = write_mixed(tmp_path / "data", loss, network), tmp_path / loss["type"]
        assert not run_tool("train", config=config, save_dir=output, **flags), loss
    weights = output / "iter_2/model.pdparams"
    assert not run_tool("val", config=config, model_path=weights)
    assert not run_tool("export", config=config, model_path=weights, save_dir=tmp_path / "exported")
    assert (tmp_path / "exported/deploy.yaml").is_file()


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_losses_of_the_configs(path):
    builder = Builder(load_config(str(path)))
    types = [member for loss in builder.loss["types"] for member in getattr(loss, "losses", [loss])]
    wanted = {"active": "ActiveBoundaryLoss", "bce": "BoundaryBCELoss", "dou": "BoundaryDoULoss"}
    for part, name in wanted.items():
        assert (part in path.stem.split("_")) == (name in [type(loss).__name__ for loss in types])


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_sgd_has_momentum(path):
    """As in PaddleSeg's configs, whose base sets it."""
    optimizer = load_config(str(path)).dic["optimizer"]
    assert optimizer["type"] != "SGD" or optimizer["momentum"] == 0.9


def test_steps_of_a_resumed_training(tmp_path):
    config = write_mixed(write_dataset(tmp_path), {"type": "ActiveBoundaryLoss", "ramp_iters": 10})
    losses = Builder(load_config(str(config))).loss
    set_steps(losses, 7)
    assert int(losses["types"][0].losses[1].steps) == 7


@pytest.mark.parametrize(
    "loss, message",
    [
        ({"type": "ActiveBoundryLoss"}, "ActiveBoundryLoss is not registered.*ActiveBoundaryLoss"),
        ({"type": "BoundaryDoULoss", "ramp_iters": 3}, "BoundaryDoULoss takes no argument 'ramp_iters'"),
        ({"type": "ActiveBoundaryLoss", "ramp_iters": -3}, "ramp_iters is -3; expected 0"),
    ],
)
def test_wrong_members_are_one_line(tmp_path, loss, message):
    config = write_mixed(write_dataset(tmp_path), loss)
    with pytest.raises(Exception) as raised:
        Builder(load_config(str(config))).loss  # noqa: B018
    assert re.search(message, one_line(raised.value))
