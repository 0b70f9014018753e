"""Losses and networks with extreme activations and in reduced precision: finite, and computed in float32.

Paddle has no automatic mixed precision on CPUs. What it does on other devices, level O1, is imitated here: the outputs
of convolutions and matrix products are rounded to bfloat16, the losses get bfloat16 logits.
"""

import numpy as np
import paddle
import pytest
from paddleseg.models import ResNet18_vd
from paddleseg.models.losses import CrossEntropyLoss, OhemCrossEntropyLoss

from paddleseg_ext import (
    APPPM,
    BoundaryAwareOhemCrossEntropyLoss,
    BoundaryBCELoss,
    EncNet,
    EncodingBCELoss,
    MultiClassBoundaryLoss,
    SANet,
    SANetEncoder_S,
)

CLASSES = 5
LOSSES = {
    "BoundaryBCELoss": (BoundaryBCELoss(), 1),
    "MultiClassBoundaryLoss": (MultiClassBoundaryLoss(), CLASSES),
    "BoundaryAwareOhemCrossEntropyLoss": (BoundaryAwareOhemCrossEntropyLoss(min_kept=100), CLASSES),
    "EncodingBCELoss": (EncodingBCELoss(num_classes=CLASSES), CLASSES),
}


def make_labels(height=32, width=48):
    labels = np.random.default_rng(0).integers(0, CLASSES, (2, height // 8, width // 8)).repeat(8, 1).repeat(8, 2)
    labels[:, :5] = 255
    return paddle.to_tensor(labels.astype("int64"))


def draw(name, scale):
    """Leaf and logits, as the loss of that name takes them."""
    loss, channels = LOSSES[name]
    shape = [2, channels] if name == "EncodingBCELoss" else [2, channels, 32, 48]
    values = np.random.default_rng(1).standard_normal(shape).astype("float32") * scale
    return loss, paddle.to_tensor(values, stop_gradient=False)


def value_of(loss, name, logits):
    if name == "BoundaryAwareOhemCrossEntropyLoss":
        logits = (logits, paddle.full([2, 1, 32, 48], 2.0, logits.dtype))
    return loss(logits, make_labels())


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e4])
def test_losses_of_extreme_logits(name, scale):
    loss, logits = draw(name, scale)
    value = value_of(loss, name, logits)
    value.backward()
    assert np.isfinite(float(value)) and float(value) > 0
    assert np.isfinite(logits.grad.numpy()).all() and float(logits.grad.abs().sum()) > 0


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_losses_are_computed_in_float32(name, dtype):
    loss, logits = draw(name, 3.0)
    rounded = logits.detach().astype(dtype)
    value = value_of(loss, name, rounded)
    assert value.dtype == paddle.float32
    assert float(value) == pytest.approx(float(value_of(loss, name, rounded.astype("float32"))), rel=1e-6)


def sanet():
    network = SANet(CLASSES, SANetEncoder_S(), APPPM(), outputs=["main", "aux", "boundary", "boundary_aware"])
    losses = [
        OhemCrossEntropyLoss(min_kept=100),
        CrossEntropyLoss(),
        BoundaryBCELoss(),
        BoundaryAwareOhemCrossEntropyLoss(min_kept=100),
    ]
    return network, losses, (1, 0.4, 20, 1)


def encnet():
    network = EncNet(CLASSES, ResNet18_vd(), mid_channels=32)
    return network, [CrossEntropyLoss(), CrossEntropyLoss(), EncodingBCELoss(num_classes=CLASSES)], (1, 0.4, 0.2)


def step(network, losses, coefs, scale=1.0, half=lambda x: x):
    """The losses of one training step, and whether every gradient is finite."""
    pictures = np.random.default_rng(2).standard_normal((2, 3, 64, 96)).astype("float32") * scale
    outputs = [
        tuple(map(half, output)) if isinstance(output, (tuple, list)) else half(output)
        for output in network(paddle.to_tensor(pictures))
    ]
    values = [loss(output, make_labels(64, 96)) for loss, output in zip(losses, outputs)]
    sum(coef * value.sum() for coef, value in zip(coefs, values)).backward()
    gradients = [p.grad for p in network.parameters() if not p.stop_gradient]
    finite = all(np.isfinite(g.numpy()).all() for g in gradients)
    network.clear_gradients()
    return np.array([float(value) for value in values]), finite


@pytest.mark.parametrize("make", [sanet, encnet])
@pytest.mark.parametrize("scale", [1e-8, 1e4])
def test_networks_of_extreme_activations(make, scale):
    paddle.seed(0)
    network, losses, coefs = make()
    values, finite = step(network, losses, coefs, scale=scale)
    assert np.isfinite(values).all() and finite


@pytest.mark.parametrize("make", [sanet, encnet])
def test_training_in_bfloat16(make):
    paddle.seed(0)
    network, losses, coefs = make()
    network.train()
    for layer in network.sublayers():
        if isinstance(layer, paddle.nn.Dropout):
            layer.p = 0.0
    expected, _ = step(network, losses, coefs)

    def rounded(layer, inputs, output):
        return output.astype("bfloat16").astype("float32")

    for layer in network.sublayers():
        if isinstance(layer, (paddle.nn.Conv2D, paddle.nn.Linear)):
            layer.register_forward_post_hook(rounded)
    values, finite = step(network, losses, coefs, half=lambda x: x.astype("bfloat16").astype("float32"))
    assert finite
    np.testing.assert_allclose(values, expected, rtol=0.03)
