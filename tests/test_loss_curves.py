"""Twenty iterations of one recipe of each family, from its YAML: network, losses, optimizer and schedule together.

The curves in data/loss_curves.json were recorded with Paddle 2.6 by ``python tests/test_loss_curves.py``. Parameters
and images follow from names, so that neither a random generator nor a data set is needed.
"""

import json
from pathlib import Path

import numpy as np
import paddle
import pytest
from paddleseg.core.train import loss_computation
from reference_support import DATA, labels, parameter, random_of

from paddleseg_ext.boundary import binary_boundary
from paddleseg_ext.builder import Builder, drop_pretrained, load_config

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
CURVES = DATA / "loss_curves.json"
# The factor of the learning rate. At the full rate rounding decides after few iterations, and sooner where OHEM selects
# pixels, since one that rounding moves over the threshold changes the next step.
RECIPES = {
    "sanet/sanet_s_cityscapes_1024x1024_120k": 0.002,
    "sanet/sanet_s_adamw_camvid_320x240_2k": 0.002,
    "encnet/encnet_resnet18_os16_camvid_320x240_2k": 0.02,
    "boundary/sanet_s_active_boundary_camvid_320x240_2k": 0.004,
}
QUICK = "encnet/encnet_resnet18_os16_camvid_320x240_2k"
TOLERANCE = 2e-3  # Paddle 2.6 and 3.3, processors with AVX2 and with AVX-512 differ by up to 9e-4
ITERS = 20
SHAPE = (4, 64, 96)


def build(recipe):
    config = load_config(str(CONFIGS / f"{recipe}.yml"), iters=ITERS)
    drop_pretrained(config)
    for key in ("warmup_iters", "warmup_start_lr"):  # of 100 iterations: these 20 would learn next to nothing
        config.dic["lr_scheduler"].pop(key, None)
    config.dic["lr_scheduler"]["learning_rate"] *= RECIPES[recipe]
    config.dic["model"]["num_classes"] = 19 if "cityscapes" in recipe else 11
    for loss in config.dic["loss"]["types"]:
        if "min_kept" in loss:
            loss["min_kept"] = 5000  # of these 24,576 pixels
        if loss["type"].startswith("BoundaryAware"):
            loss["boundary_thresh"] = 0.05  # else its mean is soon one of few pixels, and then of none
    builder = Builder(config)
    return config.dic["model"]["num_classes"], builder.model, builder.optimizer, builder.loss


def curve(recipe):
    """The total loss of each iteration."""
    classes, network, optimizer, losses = build(recipe)
    for name, value in network.state_dict().items():
        value.set_value(parameter(name, tuple(value.shape)))
    for layer in network.sublayers():
        if isinstance(layer, (paddle.nn.Dropout, paddle.nn.Dropout2D)):
            layer.p = 0  # Paddle's versions may draw differently
    target = labels("curve", SHAPE, classes, cell=16)
    colours = random_of("colours").uniform(-1, 1, (256, 3))
    pictures = colours[target] + 0.2 * random_of("noise").standard_normal((*SHAPE, 3))
    pictures = paddle.to_tensor(pictures.transpose(0, 3, 1, 2).astype("float32"))
    target = paddle.to_tensor(target)
    edges = binary_boundary(target)
    compute = getattr(network, "loss_computation", None)
    network.train()
    values = []
    for _ in range(ITERS):
        outputs = network(pictures)
        if compute is None:
            loss = sum(loss_computation(outputs, target, edges, losses))
        else:
            loss = sum(compute(outputs, losses, {"label": target, "edge": edges}))
        loss.backward()
        optimizer.step()
        optimizer._learning_rate.step()
        network.clear_gradients()
        values.append(float(loss))
    return values


@pytest.mark.parametrize("recipe", [pytest.param(r, marks=[pytest.mark.slow] * (r != QUICK)) for r in RECIPES])
def test_curve_is_the_recorded_one(recipe):
    values = curve(recipe)
    assert values[-1] < 0.9 * values[0]
    np.testing.assert_allclose(values, json.loads(CURVES.read_text())[recipe], rtol=TOLERANCE)


if __name__ == "__main__":
    CURVES.write_text(json.dumps({recipe: curve(recipe) for recipe in RECIPES}, indent=1) + "\n")
