"""The active boundary loss: the authors' numbers, a plain statement of the rule, gradients, what must not happen."""

import inspect

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
import reference_support
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from loss_support import IGNORE, batches, check_finite, wrong_input

from paddleseg_ext import ActiveBoundaryLoss
from paddleseg_ext.boundary import FAR, changes, rims, squared_distances
from paddleseg_ext.losses import active_boundary as module
from paddleseg_ext.losses.active_boundary import active_boundary, boundary_threshold, neighbour_divergence


def smooth_logits(name, shape, size=12):
    """Random logits that have boundaries: a 9×9 mean, padding not counted."""
    logits = paddle.to_tensor(reference_support.image(name, shape))
    return F.avg_pool2d(logits, 9, stride=1, padding=4, exclusive=True) * size


def value_and_gradient(loss, logits, labels):
    logits = paddle.to_tensor(logits, stop_gradient=False)
    value = loss(logits, paddle.to_tensor(labels))
    value.backward()
    return float(value), logits.grad.numpy()


def plain_distances(marks):
    """Of every pixel (H, W) to the nearest mark, all pairs compared."""
    places = np.stack(np.nonzero(marks), axis=-1)
    everywhere = np.stack(np.meshgrid(*map(np.arange, marks.shape), indexing="ij"), axis=-1)
    return np.sqrt(((everywhere[:, :, np.newaxis] - places) ** 2).sum(-1).min(-1))


def plain_changes(labels):
    marks = labels == IGNORE
    marks[:, :-1] |= labels[:, 1:] != labels[:, :-1]
    marks[:, :, :-1] |= labels[:, :, 1:] != labels[:, :, :-1]
    return marks


def plain_loss(logits, labels):
    """Value and gradient, pixel by pixel, with the threshold searched as the authors do."""
    n, _, h, w = logits.shape
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)

    def kl(a, b):
        return (a * (np.log(a) - np.log(b))).sum()

    divergence = np.zeros((n, h, w))
    divergence[:, :-1] += (p[:, :, :-1] * np.log(p[:, :, :-1] / p[:, :, 1:])).sum(1)
    divergence[:, :, :-1] += (p[..., :-1] * np.log(p[..., :-1] / p[..., 1:])).sum(1)
    threshold = 1e-5
    while (divergence > threshold).sum() > h * w / 100:
        threshold *= 1.2

    terms, gradients = [], []
    for picture, (strong, marks) in enumerate(zip(divergence > threshold, plain_changes(labels))):
        if not marks.any():
            continue
        distances = np.where(marks, 0, np.floor(plain_distances(marks)) - 1)
        for y, x in np.ndindex(h, w):
            if not strong[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].any():
                continue
            ways = [(1, 0), (-1, 0), (0, -1), (0, 1), (-1, 1), (1, 1), (-1, -1), (1, -1), (0, 0)]
            there = [(y + down, x + right) for down, right in ways]
            inside = [0 <= row < h and 0 <= column < w for row, column in there]
            best = int(np.argmin([distances[place] if ok else np.inf for place, ok in zip(there, inside)]))
            if best == 8:
                continue
            near = [p[picture, :, min(max(row, 0), h - 1), min(max(column, 0), w - 1)] for row, column in there[:8]]
            scores = np.exp([kl(q, p[picture, :, y, x]) for q in near])
            weight = min(distances[y, x], 20) / 20
            terms.append(-weight * np.log(scores[best] / scores.sum()))
            share = scores / scores.sum() - np.eye(8)[best]
            gradient = weight * (share[:, np.newaxis] * (p[picture, :, y, x] - np.array(near))).sum(0)
            gradients.append((picture, y, x, gradient))
    total = np.zeros_like(logits)
    for picture, y, x, gradient in gradients:
        total[picture, :, y, x] = gradient / len(terms)
    return np.mean(terms) if terms else 0.0, total


def test_is_the_authors_loss():
    expected = reference_support.numbers("boundary_losses")
    logits = smooth_logits("abl_z_a", (2, 5, 48, 64))
    labels = reference_support.labels("abl_y_a", (2, 48, 64), 5)
    marks = changes(paddle.to_tensor(labels))
    np.testing.assert_array_equal(marks.numpy(), expected["a_gt_boundary"])
    whole = np.floor(np.sqrt(squared_distances(marks).numpy())) - 1
    np.testing.assert_array_equal(whole.clip(0), expected["a_distance"])
    divergence = neighbour_divergence(logits.transpose([0, 2, 3, 1]))
    threshold = boundary_threshold(divergence.flatten().topk(48 * 64 // 100 + 1)[0])
    predicted = F.max_pool2d((divergence > threshold).astype("float32").unsqueeze(1), 3, stride=1, padding=1)
    np.testing.assert_array_equal(predicted.squeeze(1).numpy() > 0, expected["a_pred_boundary"])

    value, gradient = value_and_gradient(ActiveBoundaryLoss(), logits.numpy(), labels)
    assert value == pytest.approx(float(expected["a_loss"]), rel=1e-5)
    assert np.abs(gradient - expected["a_grad"]).max() <= 1e-5 * np.abs(expected["a_grad"]).max()


@pytest.mark.parametrize(
    "shape, cell, size",
    [
        ((2, 3, 40, 40), 8, 12),
        ((1, 19, 37, 53), 16, 12),
        ((3, 2, 24, 70), 24, 12),
        ((1, 4, 64, 48), 48, 12),  # further than 20 pixels from any boundary
        ((2, 5, 20, 20), 5, 1),
        ((1, 3, 30, 30), 10, 1e-3),  # divergences below 1e-5
        ((1, 11, 11, 91), 7, 60),
    ],
)
def test_is_the_rule(shape, cell, size):
    n, k, h, w = shape
    for seed in range(3):
        logits = smooth_logits(f"rule {shape} {seed}", shape, size).numpy().astype(np.float64)
        labels = reference_support.labels(f"rule {shape} {seed}", (n, h, w), k, cell)
        expected, expected_gradient = plain_loss(logits, labels)
        value, gradient = value_and_gradient(active_boundary, logits, labels)
        assert value == pytest.approx(expected, rel=1e-6, abs=1e-12)
        assert np.abs(gradient - expected_gradient).max() <= 1e-6 * np.abs(expected_gradient).max()


def test_a_picture_without_boundary_takes_no_part():
    logits = smooth_logits("two", (2, 3, 40, 40)).numpy().astype(np.float64)
    labels = reference_support.labels("two", (2, 40, 40), 3, 20)
    labels[1] = 1
    value, gradient = value_and_gradient(active_boundary, logits, labels)
    expected, expected_gradient = plain_loss(logits, labels)
    assert value == pytest.approx(expected, rel=1e-6) and expected > 0
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-9)
    assert not gradient[1].any()


def test_gradient_is_the_numerical_one():
    """A pixel's term with its neighbours held: the value of the whole loss does not show the gradient."""
    logits = smooth_logits("numerical", (1, 3, 20, 24)).numpy().astype(np.float64)
    labels = reference_support.labels("numerical", (1, 20, 24), 3, 12)
    _, gradient = value_and_gradient(active_boundary, logits, labels)
    distances = np.floor(plain_distances(plain_changes(labels)[0])).clip(1)

    def entropy(pixel, y, x):
        """−log of the share of the best direction among the eight, from the logits of the pixel alone."""
        log_p = pixel - np.log(np.exp(pixel).sum())
        places = [(y + down, x + right) for down, right in module.DIRECTIONS[:8]]
        scores = []
        for place in places:
            near = logits[0, :, place[0], place[1]] - np.log(np.exp(logits[0, :, place[0], place[1]]).sum())
            scores.append((np.exp(near) * (near - log_p)).sum())
        best = int(np.argmin([distances[place] for place in places]))
        return np.log(np.exp(scores).sum()) - scores[best]

    inner = np.abs(gradient[0, :, 1:-1, 1:-1]).max(0)
    checked = np.argwhere(inner > 0.1 * inner.max()) + 1
    assert len(checked) >= 3
    factors = []
    for y, x in checked:
        own, step = logits[0, :, y, x], 1e-5 * np.eye(3)
        numerical = np.array([entropy(own + d, y, x) - entropy(own - d, y, x) for d in step]) / 2e-5
        factors.append(np.abs(gradient[0, :, y, x]).max() / np.abs(numerical).max() / (distances[y, x] - 1))
        np.testing.assert_allclose(gradient[0, :, y, x], numerical * factors[-1] * (distances[y, x] - 1), atol=1e-9)
    np.testing.assert_allclose(factors, factors[0], rtol=1e-5)  # 1 / 20 / pixels


@settings(deadline=None, max_examples=40)
@given(
    hnp.arrays(bool, st.tuples(st.integers(1, 2), st.integers(1, 24), st.integers(1, 24))),
    st.integers(1, 30),
)
def test_distances(marks, exact):
    found = squared_distances(paddle.to_tensor(marks), exact=exact).numpy()
    for picture, expected in zip(found, marks):
        if not expected.any():
            assert (picture >= FAR).all()
            continue
        expected = np.rint(plain_distances(expected) ** 2)
        near = expected <= exact**2
        np.testing.assert_array_equal(picture[near], expected[near])
        assert (picture >= expected).all()


def test_far_distances_are_nearly_exact():
    """As the docstring says: exact in label maps of blocks, and 1 in 1000 among few random marks."""
    random = np.random.default_rng(0)
    blocks = plain_changes(random.integers(0, 3, (8, 2, 3)).repeat(48, 1).repeat(48, 2))
    dots = random.random((8, 96, 144)) < 0.001
    for marks, share in ((blocks, 0), (dots, 0.002)):
        found = squared_distances(paddle.to_tensor(marks)).numpy()
        wrong = [picture != np.rint(plain_distances(mark) ** 2) for picture, mark in zip(found, marks) if mark.any()]
        assert np.mean(wrong) <= share


def test_marks_by_hand():
    labels = paddle.to_tensor([[[0, 0, 1], [0, 0, 1], [0, 0, IGNORE]]])
    assert changes(labels).numpy()[0].tolist() == [[False, True, False], [False, True, True], [False, True, True]]
    uniform = paddle.zeros([1, 4, 5], "int64")
    assert not changes(uniform).any()
    inside = np.zeros((4, 5), bool)
    inside[1:-1, 1:-1] = True
    np.testing.assert_array_equal(rims(uniform).numpy()[0], ~inside)
    assert rims(labels).numpy()[0, 1].tolist() == [True, True, True]


@settings(deadline=None, max_examples=40)
@given(
    batches(14),
    st.sampled_from([0, 1, 1e4]),
)
def test_finite_for_every_batch(labels, size):
    check_finite(ActiveBoundaryLoss(), labels, size)


@pytest.mark.parametrize("value", [0, 2, IGNORE])
def test_finite_for_one_value_alone(value):
    check_finite(ActiveBoundaryLoss(), np.full((2, 30, 30), value), 1)


def test_half_precision():
    labels = reference_support.labels("half", (2, 40, 40), 3, 10)
    exact = check_finite(ActiveBoundaryLoss(), labels, 3)
    assert check_finite(ActiveBoundaryLoss(), labels, 3, "bfloat16") == pytest.approx(exact, rel=0.1)
    logits = smooth_logits("half", (2, 3, 40, 40))
    labels = paddle.to_tensor(labels)
    with paddle.amp.auto_cast(level="O2", dtype="bfloat16"):
        mixed = ActiveBoundaryLoss()(logits, labels)
    assert mixed.dtype == paddle.float32 and float(mixed) == float(ActiveBoundaryLoss()(logits, labels))


def test_other_integers_give_the_same():
    logits = smooth_logits("integers", (1, 3, 40, 40))
    labels = reference_support.labels("integers", (1, 40, 40), 3, 10)
    expected = float(active_boundary(logits, paddle.to_tensor(labels)))
    for dtype in ("uint8", "int32"):
        assert float(active_boundary(logits, paddle.to_tensor(labels.astype(dtype)))) == expected > 0


def test_weight_grows():
    logits = smooth_logits("ramp", (1, 3, 40, 40))
    logits.stop_gradient = False
    labels = paddle.to_tensor(reference_support.labels("ramp", (1, 40, 40), 3, 10))
    whole = float(active_boundary(logits, labels))
    loss = ActiveBoundaryLoss(ramp_iters=4)
    assert [float(loss(logits, labels)) for _ in range(6)] == pytest.approx(
        [0, whole / 4, whole / 2, 0.75 * whole] + 2 * [whole]
    )
    resumed = ActiveBoundaryLoss(ramp_iters=4)
    resumed.set_state_dict({"steps": paddle.full([], 3, "int64")})
    resumed.eval()  # does not count
    assert [float(resumed(logits, labels)) for _ in range(2)] == pytest.approx(2 * [0.75 * whole])


@pytest.mark.slow  # ten seconds of tracing
def test_static_graph_counts_on():
    logits = smooth_logits("static", (1, 3, 40, 40))
    labels = paddle.to_tensor(reference_support.labels("static", (1, 40, 40), 3, 10))
    moving = logits.clone()
    moving.stop_gradient = False
    eager, static = ActiveBoundaryLoss(ramp_iters=3), paddle.jit.to_static(ActiveBoundaryLoss(ramp_iters=3))
    for _ in range(4):
        moving.clear_gradient()
        expected = eager(moving, labels)
        expected.backward()
        gradient = moving.grad.numpy()
        moving.clear_gradient()
        found = static(moving, labels)
        found.backward()
        assert float(found) == pytest.approx(float(expected), rel=1e-5)
        np.testing.assert_allclose(moving.grad.numpy(), gradient, rtol=1e-4, atol=1e-9)
    assert gradient.any()


def test_nothing_goes_to_the_host(monkeypatch):
    logits = smooth_logits("host", (2, 3, 40, 40))
    logits.stop_gradient = False
    labels = paddle.to_tensor(reference_support.labels("host", (2, 40, 40), 3, 10))
    loss = ActiveBoundaryLoss(ramp_iters=3)

    def refuse(*_, **__):
        raise AssertionError("a tensor was read")

    for name in ("numpy", "item", "tolist", "__bool__", "__float__", "__int__", "__index__", "nonzero"):
        monkeypatch.setattr(paddle.Tensor, name, refuse)
    monkeypatch.setattr(paddle, "to_tensor", refuse)  # which waits for the device, too
    loss(logits, labels).backward()
    assert "nonzero" not in inspect.getsource(module)


@wrong_input
def test_wrong_input_is_named(shape, labels, message):
    with pytest.raises(ValueError, match=message):
        ActiveBoundaryLoss()(paddle.zeros(shape), paddle.to_tensor(labels))


def test_wrong_ramp_is_named():
    with pytest.raises(ValueError, match="ramp_iters is -1; expected 0"):
        ActiveBoundaryLoss(ramp_iters=-1)
