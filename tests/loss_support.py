"""What the tests of losses of main logits share: batches, wrong input, and what must hold for every batch."""

import math

import numpy as np
import paddle
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

IGNORE = 255

wrong_input = pytest.mark.parametrize(
    "shape, labels, message",
    [
        ((1, 3, 8, 8), np.zeros((1, 8, 9), "int64"), r"\[1, 3, 8, 8\], labels \[1, 8, 9\]"),
        ((1, 3, 8, 8), np.zeros((1, 8, 8), "float32"), "float32; expected integers"),
        ((1, 1, 8, 8), np.zeros((1, 8, 8), "int64"), r"\[1, 1, 8, 8\]; expected two classes"),
        ((0, 3, 8, 8), np.zeros((0, 8, 8), "int64"), r"\[0, 3, 8, 8\]; expected two classes or more, and some pixels"),
    ],
)


def batches(side):
    """Labels (N, H, W) of up to two images, with three classes and ignored pixels."""
    sides = st.integers(1, side)
    labels = st.sampled_from([0, 1, 2, IGNORE])
    return hnp.arrays(np.int64, st.tuples(st.integers(1, 2), sides, sides), elements=labels)


def check_finite(loss, labels, size, dtype="float32"):
    """The loss of random logits of that size, after a check that it and its gradient are numbers."""
    n, h, w = labels.shape
    logits = size * np.random.default_rng(0).standard_normal((n, 3, h, w))
    logits = paddle.to_tensor(logits.astype("float32")).astype(dtype)
    logits.stop_gradient = False
    value = loss(logits, paddle.to_tensor(labels))
    assert value.shape == [] and value.dtype == paddle.float32
    value.backward()
    assert math.isfinite(float(value)) and bool(paddle.isfinite(logits.grad.astype("float32")).all())
    return float(value)
