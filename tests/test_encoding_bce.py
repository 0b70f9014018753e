"""`EncodingBCELoss` against a plain NumPy statement of its formula and PaddleSeg's `SECrossEntropyLoss`."""

import numpy as np
import paddle
import pytest
from paddleseg.models.losses import SECrossEntropyLoss

from paddleseg_ext import EncodingBCELoss
from paddleseg_ext.losses.encoding_bce import encoding_bce, present_classes

CLASSES = 6


def reference(logits, labels, ignore_index=255):
    """The mean over images with a valid pixel, in float64."""
    losses = []
    for z, label in zip(logits.astype("float64"), labels):
        present = set(label.ravel().tolist()) - {ignore_index}
        for c in range(CLASSES if present else 0):
            p = 1 / (1 + np.exp(-z[c]))
            losses.append(-np.log(p if c in present else 1 - p))
    return np.mean(losses) if losses else 0.0


def draw(batch=4, ignored=0.3):
    rng = np.random.default_rng(0)
    logits = 2 * rng.standard_normal((batch, CLASSES))
    labels = rng.integers(0, CLASSES, (batch, 2, 3))
    labels[rng.random(labels.shape) < ignored] = 255
    return logits.astype("float32"), labels


def value(loss, logits, labels):
    return float(loss(paddle.to_tensor(logits), paddle.to_tensor(labels)))


def test_value():
    logits, labels = draw()
    assert value(EncodingBCELoss(CLASSES), logits, labels) == pytest.approx(reference(logits, labels), abs=1e-6)


def test_hand_computed():
    labels = np.array([[[1, 255], [1, 1]]])  # class 1 alone
    logits = np.zeros((1, 2), "float32")
    logits[0, 1] = np.log(3)  # probability 3/4
    expected = (-np.log(1 / 2) - np.log(3 / 4)) / 2
    assert value(EncodingBCELoss(2), logits, labels) == pytest.approx(expected, abs=1e-6)
    assert value(encoding_bce, logits, labels.astype("uint8")) == pytest.approx(expected, abs=1e-6)


def test_logits_and_labels_with_further_axes():
    logits, labels = draw()
    loss = EncodingBCELoss(CLASSES)
    assert value(loss, logits[..., None, None], labels[:, None]) == value(loss, logits, labels)


def test_ignore_index_may_be_a_class():
    logits, labels = draw(ignored=0)
    got = value(EncodingBCELoss(CLASSES, ignore_index=2), logits, labels)
    assert got == pytest.approx(reference(logits, labels, ignore_index=2), abs=1e-6)


def test_picture_without_a_valid_pixel_takes_no_part():
    logits, labels = draw()
    labels[1] = 255
    got = value(EncodingBCELoss(CLASSES), logits, labels)
    assert got == pytest.approx(reference(logits, labels), abs=1e-6)
    others = [0, 2, 3]
    assert got == pytest.approx(value(EncodingBCELoss(CLASSES), logits[others], labels[others]), abs=1e-6)


def test_batch_without_a_valid_pixel():
    logits, labels = draw()
    logits = paddle.to_tensor(logits, stop_gradient=False)
    loss = EncodingBCELoss(CLASSES)(logits, paddle.to_tensor(np.full_like(labels, 255)))
    loss.backward()
    assert float(loss) == 0
    assert not logits.grad.numpy().any()


def test_reductions_agree():
    logits, labels = draw()
    labels[1] = 255
    arrays = paddle.to_tensor(logits), paddle.to_tensor(labels)
    each = EncodingBCELoss(CLASSES, reduction="none")(*arrays).numpy()
    assert each.shape == logits.shape
    assert not each[1].any()
    assert float(EncodingBCELoss(CLASSES, reduction="sum")(*arrays)) == pytest.approx(each.sum(), rel=1e-6)
    assert value(EncodingBCELoss(CLASSES), logits, labels) == pytest.approx(each[[0, 2, 3]].mean(), rel=1e-6)


@pytest.mark.parametrize("batch", [1, 4])
def test_value_and_gradient_are_paddlesegs(batch):
    logits, labels = draw(batch)
    labels[:, 0, 0] = 0  # PaddleSeg's counts images without a valid pixel
    results = []
    for loss in (EncodingBCELoss(CLASSES), SECrossEntropyLoss()):
        leaf = paddle.to_tensor(logits, stop_gradient=False)
        got = loss(leaf, paddle.to_tensor(labels))
        got.backward()
        results.append((float(got), leaf.grad.numpy()))
    assert results[0][0] == pytest.approx(results[1][0], abs=1e-6)
    np.testing.assert_allclose(results[0][1], results[1][1], atol=1e-6)


def test_finite_for_extreme_logits():
    logits, labels = draw()
    loss = EncodingBCELoss(CLASSES)
    leaf = paddle.to_tensor(1e4 * logits, stop_gradient=False)
    got = loss(leaf, paddle.to_tensor(labels))
    got.backward()
    assert np.isfinite(float(got))
    assert np.isfinite(leaf.grad.numpy()).all()


def test_half_logits_are_computed_in_float32():
    logits, labels = draw()
    logits = logits.astype("float16")
    loss = EncodingBCELoss(CLASSES)
    assert value(loss, logits, labels) == value(loss, logits.astype("float32"), labels)


@pytest.mark.parametrize("shape", [(4, CLASSES + 1), (4, CLASSES, 2, 1), (4, CLASSES, 1), (3, CLASSES), (CLASSES,)])
def test_wrong_logits(shape):
    _, labels = draw(4)
    with pytest.raises(ValueError, match=rf"\(4, {CLASSES}\).* got \({', '.join(map(str, shape))}"):
        EncodingBCELoss(CLASSES)(paddle.zeros(shape), paddle.to_tensor(labels))


@pytest.mark.parametrize("wrong", [CLASSES, CLASSES + 40, -1, 254])
def test_labels_out_of_range(wrong):
    logits, labels = draw()
    labels[2, 1, 1] = wrong
    with pytest.raises(ValueError, match=rf"\[0, {CLASSES}\) or 255.*\[{wrong}\]"):
        value(EncodingBCELoss(CLASSES), logits, labels)


def test_nothing_is_copied_to_the_device(monkeypatch):
    labels = paddle.to_tensor(draw()[1])

    def copied(*_, **__):
        raise AssertionError("to_tensor waits for the device")

    monkeypatch.setattr(paddle, "to_tensor", copied)
    present_classes(labels, CLASSES)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"num_classes": 0}, "num_classes must be at least 1, got 0"),
        ({"num_classes": 3, "reduction": "avg"}, "reduction .* got 'avg'"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        EncodingBCELoss(**arguments)
