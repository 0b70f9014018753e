"""The boundary difference over union loss: the authors' numbers, a plain statement of the rule, gradients."""

import numpy as np
import paddle
import pytest
import reference_support
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_support import IGNORE, batches, check_finite, wrong_input
from test_active_boundary import smooth_logits, value_and_gradient
from test_boundary_losses import numerical_gradient

from paddleseg_ext import BoundaryDoULoss
from paddleseg_ext.losses.boundary_dou import boundary_dou


def plain_loss(logits, labels):
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    losses = []
    for c in range(logits.shape[1]):
        mine = np.pad((labels == c), ((0, 0), (1, 1), (1, 1)))
        inner = mine[:, 1:-1, 1:-1] & mine[:, :-2, 1:-1] & mine[:, 2:, 1:-1] & mine[:, 1:-1, :-2] & mine[:, 1:-1, 2:]
        size = mine.sum()
        alpha = min(1 - 2 * (size - inner.sum() + 1e-5) / (size + 1e-5), 0.8)
        probability = p[:, c][labels != IGNORE]
        both, union = p[:, c][labels == c].sum(), size + (probability**2).sum() + 1e-5
        losses.append((union - 2 * both) / (union - (1 + alpha) * both))
    return np.mean(losses)


def test_is_the_authors_loss():
    expected = reference_support.numbers("boundary_losses")
    logits = smooth_logits("abl_z_a", (2, 5, 48, 64)).numpy()
    labels = reference_support.labels("abl_y_a", (2, 48, 64), 5)
    value, gradient = value_and_gradient(BoundaryDoULoss(), logits, np.where(labels == IGNORE, 1, labels))
    assert value == pytest.approx(float(expected["a_dou_loss"]), rel=1e-5)
    assert np.abs(gradient - expected["a_dou_grad"]).max() <= 1e-5 * np.abs(expected["a_dou_grad"]).max()


@pytest.mark.parametrize(
    "shape, cell", [((2, 3, 40, 40), 8), ((1, 19, 37, 53), 16), ((3, 2, 24, 70), 24), ((1, 4, 9, 1), 2)]
)
def test_is_the_rule(shape, cell):
    n, k, h, w = shape
    logits = smooth_logits(f"dou {shape}", shape).numpy().astype(np.float64)
    labels = reference_support.labels(f"dou {shape}", (n, h, w), k, cell)
    value, gradient = value_and_gradient(boundary_dou, logits, labels)
    assert value == pytest.approx(plain_loss(logits, labels), rel=1e-9)
    assert not gradient.transpose(0, 2, 3, 1)[labels == IGNORE].any()


def test_gradient_is_the_numerical_one():
    logits = 2 * reference_support.image("dou", (2, 3, 6, 7)).astype(np.float64)
    labels = reference_support.labels("dou", (2, 6, 7), 3, 3)
    _, gradient = value_and_gradient(boundary_dou, logits, labels)
    numerical = numerical_gradient(lambda moved: boundary_dou(moved, paddle.to_tensor(labels)), logits)
    assert np.abs(numerical).max() > 1e-3
    np.testing.assert_allclose(gradient, numerical, atol=1e-8)


@settings(deadline=None, max_examples=40)
@given(
    batches(9),
    st.sampled_from([0, 1, 1e4]),
    st.sampled_from(["float32", "bfloat16"]),
)
def test_finite_for_every_batch(labels, size, dtype):
    check_finite(BoundaryDoULoss(), labels, size, dtype)


@pytest.mark.parametrize("value", [0, 2, IGNORE])
def test_finite_for_one_value_alone(value):
    loss = check_finite(BoundaryDoULoss(), np.full((2, 8, 8), value), 1)
    assert value != IGNORE or loss == 1


def test_mixed_precision_and_static_graph_give_the_same():
    logits = smooth_logits("dou", (2, 3, 40, 40)).numpy()
    labels = reference_support.labels("dou", (2, 40, 40), 3, 10)
    expected, gradient = value_and_gradient(BoundaryDoULoss(), logits, labels)
    with paddle.amp.auto_cast(level="O2", dtype="bfloat16"):
        assert BoundaryDoULoss()(paddle.to_tensor(logits), paddle.to_tensor(labels)).dtype == paddle.float32
        mixed, mixed_gradient = value_and_gradient(BoundaryDoULoss(), logits, labels)
    assert mixed == expected
    np.testing.assert_array_equal(mixed_gradient, gradient)
    static, static_gradient = value_and_gradient(paddle.jit.to_static(BoundaryDoULoss()), logits, labels)
    assert static == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(static_gradient, gradient, rtol=1e-5, atol=1e-9)


def test_labels_of_no_class_count_as_wrong():
    """As in `plain_loss`: their probabilities are in the union, and they belong to no class."""
    logits = smooth_logits("none", (1, 3, 20, 20)).numpy().astype(np.float64)
    labels = reference_support.labels("none", (1, 20, 20), 3, 5)
    labels[:, :4], labels[:, 4:6] = 7, -2
    value, _ = value_and_gradient(boundary_dou, logits, labels)
    assert value == pytest.approx(plain_loss(logits, labels), rel=1e-9)


@wrong_input
def test_wrong_input_is_named(shape, labels, message):
    with pytest.raises(ValueError, match=message):
        BoundaryDoULoss()(paddle.zeros(shape), paddle.to_tensor(labels))
