"""Numbers computed with the authors' SANet, and the deterministic tensors that both sides filled it with.

Every tensor follows from a name and a shape: the generator is seeded with the name's CRC-32.
"""

import json
import zlib
from pathlib import Path

import numpy as np

DATA = Path(__file__).parent / "data"


def numbers(name):
    """The arrays of data/<name>.npz."""
    with np.load(DATA / f"{name}.npz") as arrays:
        return dict(arrays)


def official_shapes():
    """{"SANet-S": {name: shape}, "SANet-M": ..., "SANet-L": ...} of the authors' networks of 19 classes."""
    return json.loads((DATA / "sanet_official_state_dict.json").read_text())


def official_parameters(variant):
    return {name: parameter(name, shape) for name, shape in official_shapes()[variant].items()}


def random_of(name):
    return np.random.default_rng(zlib.crc32(name.encode()))


def parameter(name, shape):
    """Of one entry of a state dict, the authors' or Paddle's; what it is shows in its name and number of dimensions."""
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    random = random_of(name)
    normal = random.standard_normal(shape)
    if name.endswith(("running_var", "_variance")):
        return random.uniform(0.5, 1.5, shape).astype(np.float32)
    if name.endswith(("running_mean", "_mean", "bias")):
        return (0.1 * normal).astype(np.float32)
    if len(shape) == 1:  # scale of a batch norm; smaller at the end of a residual branch
        return ((0.5 if name.endswith("bn2.weight") else 1.0) + 0.1 * normal).astype(np.float32)
    return (normal * np.sqrt(1.5 / np.prod(shape[1:]))).astype(np.float32)


def image(name, shape):
    return random_of(name).standard_normal(shape).astype(np.float32)


def labels(name, shape, num_classes, cell=8):
    """(N, H, W) of square blocks, one in ten of them ignored."""
    random = random_of(name)
    batch, height, width = shape
    blocks = random.integers(0, num_classes, (batch, -(-height // cell), -(-width // cell)))
    blocks[random.random(blocks.shape) < 0.1] = 255
    return blocks.repeat(cell, 1).repeat(cell, 2)[:, :height, :width].astype(np.int64)
