"""From a network to an inference folder: PaddleSeg's files, and the proof that they compute the same.

Shapes are (N, C, H, W); None stands for a side that may vary.
"""

from __future__ import annotations

import os
import tempfile
from typing import Optional

import paddle
import yaml
from paddleseg.deploy.export import WrappedModel

from paddleseg_ext.command import UserError

OUTPUT_OPS = ("argmax", "softmax", "none")
DYNAMIC_SHAPE = [None, 3, None, None]


def require_fitting_weights(network: paddle.nn.Layer, path: str) -> None:
    """An exported file shows no sign of weights that were skipped, so weights that do not fit are refused.

    Raises:
        UserError: `path` is not a file of weights, lacks an entry of `network` or has one of another shape.
    """
    try:
        weights = paddle.load(path)
    except Exception as error:
        raise UserError(f"{path}: not a file of Paddle weights ({type(error).__name__})") from error
    for name, tensor in network.state_dict().items():
        if name not in weights:
            raise UserError(f"{path}: no weights for {name}: are they of another network than the config's?")
        if list(weights[name].shape) != list(tensor.shape):
            raise UserError(
                f"{path}: {name} has shape {list(weights[name].shape)}, the config's network needs "
                f"{list(tensor.shape)}"
            )


def export_folder(
    network: paddle.nn.Layer,
    save_dir: str,
    transforms: Optional[list],
    input_shape: Optional[list[int]] = None,
    output_op: str = "argmax",
) -> dict:
    """Write ``model.json`` (``model.pdmodel`` before Paddle 3), ``model.pdiparams`` and ``deploy.yaml``.

    Args:
        transforms: the validation transforms as the YAML has them.
        input_shape: fixed, or with None for sides that vary.

    Returns:
        The content of ``deploy.yaml``.
    """
    shape = input_shape or DYNAMIC_SHAPE
    network.eval()
    wrapped = network if output_op == "none" else WrappedModel(network, output_op)
    wrapped.eval()
    static = paddle.jit.to_static(wrapped, input_spec=[paddle.static.InputSpec(shape, "float32")])

    os.makedirs(save_dir, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=save_dir) as whole:  # files appear whole or not at all
        paddle.jit.save(static, os.path.join(whole, "model"))
        files = os.listdir(whole)
        deploy = {
            "Deploy": {
                "model": "model.json" if "model.json" in files else "model.pdmodel",
                "params": "model.pdiparams",
                "transforms": transforms,
                "input_shape": shape,
                "output_op": output_op,
                "output_dtype": "int32" if output_op == "argmax" else "float32",
            }
        }
        with open(os.path.join(whole, "deploy.yaml"), "w", encoding="utf-8") as file:
            yaml.safe_dump(deploy, file)
        for name in (*files, "deploy.yaml"):
            os.replace(os.path.join(whole, name), os.path.join(save_dir, name))
    return deploy
