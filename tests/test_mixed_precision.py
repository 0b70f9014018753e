"""Losses under mixed precision, which Paddle has on no CPU: an imitation of what PaddleSeg's trainer makes of it.

The trainer adds `elementwise_add` to what runs in float16. There 65504 is the largest number, fewer than the pixels of
a batch, and what is smaller than 6e-8 is 0.
"""

import contextlib
import re
from pathlib import Path

import numpy as np
import paddle
import pytest
from paddleseg.core.train import loss_computation
from paddleseg.cvlibs import manager
from paddleseg.models.losses import BCELoss

from paddleseg_ext import EdgeLabelBCELoss
from paddleseg_ext.builder import Builder, load_config

CONFIGS = sorted((Path(__file__).resolve().parents[1] / "configs").glob("[!_]*/*.yml"))
# other sizes of a network and its training from scratch have the same losses
RECIPES = [path for path in CONFIGS if not re.search("sanet_[ml]_|resnet50|_scratch_", path.stem)]
OPERATORS = ("add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv")
FUNCTIONS = ("add", "sum", "mean", "matmul")


def half(value):
    """Rounded to float16, but stored as before: a CPU lacks kernels for halves."""
    if isinstance(value, paddle.Tensor) and value.dtype == paddle.float32:
        return value.astype("float16").astype("float32")
    return value


@pytest.fixture
def mixed_precision(monkeypatch):
    """`paddle.amp.auto_cast` that makes the OPERATORS and FUNCTIONS take and give halves on a CPU."""
    enabled = [False]

    @contextlib.contextmanager
    def auto_cast(enable=True, **_):
        enabled.append(enable)
        yield
        enabled.pop()

    def rounding(function):
        def computed(*args, **kwargs):
            if not enabled[-1]:
                return function(*args, **kwargs)
            return half(function(*map(half, args), **kwargs))

        return computed

    monkeypatch.setattr(paddle.amp, "auto_cast", auto_cast)
    for place, names in (
        (paddle.Tensor, [f"__{name}__" for name in OPERATORS]),
        (paddle.Tensor, FUNCTIONS),
        (paddle, FUNCTIONS),
    ):
        for name in names:
            monkeypatch.setattr(place, name, rounding(getattr(place, name)))
    return auto_cast


def heads_and_outputs(config, num_classes, side, pictures):
    """Leaves (images, C, side, side), or (images, C) of a presence; the network's outputs, made of them."""
    model, random = config.model_cfg, np.random.default_rng(0)

    def leaf(*shape):
        return paddle.to_tensor(random.standard_normal((pictures, *shape), np.float32) * 3, stop_gradient=False)

    if model["type"] == "SANet":
        heads = {}
        for name in model.get("outputs", ("main", "aux", "boundary", "boundary_aware")):
            if name != "boundary_aware":
                channels = model.get("boundary_classes", 1) if name == "boundary" else num_classes
                heads[name] = leaf(channels, side, side)
        outputs = [heads.get(name) for name in model.get("outputs", (*heads, "boundary_aware"))]
        outputs = [(heads["main"], heads["boundary"]) if output is None else output for output in outputs]
        return list(heads.values()), outputs
    types = [loss["type"] for loss in config.loss_cfg["types"]]
    heads = [leaf(num_classes) if name == "EncodingBCELoss" else leaf(num_classes, side, side) for name in types]
    return heads, heads


def batch(num_classes, side, pictures=3):
    labels = np.random.default_rng(1).integers(0, num_classes, (pictures, 16, 16))
    labels = labels.repeat(side // 16, 1).repeat(side // 16, 2)
    labels[:, : side // 20] = 255
    edges = np.zeros_like(labels)
    edges[:, ::16] = 1
    return {"label": paddle.to_tensor(labels), "edge": paddle.to_tensor(edges)}


def losses_of(config, outputs, losses, data):
    """As PaddleSeg's trainer computes them."""
    network = manager.MODELS[config.model_cfg["type"]]
    if hasattr(network, "loss_computation"):
        return network.loss_computation(outputs, losses, data)
    return loss_computation(outputs, data["label"], data["edge"], losses)


def check_recipe(path, side, pictures, mixed_precision):
    config = load_config(str(path))
    for loss in config.dic["loss"]["types"]:
        for part in loss.get("losses", [loss]):
            if "ramp_iters" in part:
                part["ramp_iters"] = 0  # twice the same loss
    builder = Builder(config)
    losses, num_classes = builder.loss, builder.train_dataset_class.NUM_CLASSES
    heads, outputs = heads_and_outputs(config, num_classes, side, pictures)
    data = batch(num_classes, side, pictures)
    with paddle.no_grad():
        expected = [float(value) for value in losses_of(config, outputs, losses, data)]
    with mixed_precision():
        values = losses_of(config, outputs, losses, data)
    np.testing.assert_allclose([float(value) for value in values], expected, rtol=0.01, err_msg=path.stem)
    sum(values).backward()
    for head in heads:
        gradient = head.grad.abs().sum()
        assert 0 < float(gradient) < float("inf"), path.stem


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes(path, mixed_precision):
    """76800 pixels: more than a half can count."""
    check_recipe(path, 160, 3, mixed_precision)


@pytest.mark.slow
def test_recipes_with_large_crops(mixed_precision):
    """At 1024x1024, recipes that have all losses of those with large crops, with class weights and without."""
    checked = set()
    for path in RECIPES:  # those of PaddleSeg's networks, whose losses nobody else protects, come first
        if max(map(int, re.search(r"_(\d+)x(\d+)_", path.stem).groups())) >= 512:
            types = load_config(str(path)).loss_cfg["types"]
            losses = {(part["type"], "weight" in part) for loss in types for part in loss.get("losses", [loss])}
            if losses - checked:
                check_recipe(path, 1024, 1, mixed_precision)
            checked |= losses


def test_the_imitation_shows_what_mixed_precision_breaks(mixed_precision):
    """PaddleSeg's loss with dynamic weights counts infinitely many pixels; what it weighs them by is no weight."""
    logits, edges = paddle.zeros([3, 1, 160, 160]), batch(2, 160)["edge"].astype("float32")
    stock, ours = BCELoss(weight="dynamic", edge_label=True), EdgeLabelBCELoss()
    assert float(stock(logits, edges)) == pytest.approx(2 * float(ours(logits, edges)), rel=1e-3)
    with mixed_precision():
        assert not float(stock(logits, edges)) > 0
        assert float(ours(logits, edges)) > 0
