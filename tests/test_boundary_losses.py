"""The boundary losses: official numbers, hand-made values, gradients, and batches that leave nothing to learn."""

import importlib.util
import math

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from paddleseg.cvlibs import manager
from paddleseg.models.losses import CrossEntropyLoss, OhemCrossEntropyLoss

from paddleseg_ext import BoundaryAwareOhemCrossEntropyLoss, BoundaryBCELoss, MultiClassBoundaryLoss
from paddleseg_ext.boundary import binary_boundary
from paddleseg_ext.losses.boundary import balanced_bce
from paddleseg_ext.losses.ohem import ohem_cross_entropy

IGNORE = 255
LABELS = np.array([[[0, 0, 1, 1, 2, IGNORE], [0, 0, 1, 1, 2, IGNORE], [0, 0, 0, 1, 2, 2], [0, 0, 0, 1, 2, 2]]])


@pytest.fixture(scope="module")
def reference(shared):
    """Official inputs as tensors and official results as numbers."""
    spec = importlib.util.spec_from_file_location("deterministic", shared / "reference" / "deterministic.py")
    deterministic = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(deterministic)
    inputs = {
        "main": deterministic.image("losses_19_main", (2, 19, 64, 96)) * 3,
        "aux": deterministic.image("losses_19_aux", (2, 19, 64, 96)),
        "boundary": deterministic.image("losses_19_boundary", (2, 1, 64, 96)) * 2,
        "label": deterministic.labels("losses_19_label", (2, 64, 96), 19),
        "edge": deterministic.image("losses_19_edge", (2, 64, 96)) > 1,
    }
    tensors = {name: paddle.to_tensor(value) for name, value in inputs.items()}
    return tensors, dict(np.load(shared / "reference" / "sanet_losses.npz"))


def test_boundary_loss_is_the_official_one(reference):
    inputs, expected = reference
    logits = inputs["boundary"].clone()
    logits.stop_gradient = False
    nothing_ignored = paddle.zeros_like(inputs["label"])  # the official loss knows no ignored pixels
    loss = 20 * BoundaryBCELoss()(logits, nothing_ignored, inputs["edge"])
    loss.backward()
    assert abs(float(loss) / expected["boundary"] - 1) <= 1e-4
    gradient = expected["boundary_grad"]
    assert np.abs(logits.grad.numpy() - gradient).max() <= 1e-4 * np.abs(gradient).max()


def test_semantic_losses_are_the_official_ones(reference):
    inputs, expected = reference
    aware = BoundaryAwareOhemCrossEntropyLoss(min_kept=1000)((inputs["main"], inputs["boundary"]), inputs["label"])
    assert abs(float(aware) / expected["boundary_aware"] - 1) <= 0.01
    main = OhemCrossEntropyLoss(thresh=0.9, min_kept=1000)(inputs["main"], inputs["label"])
    aux = CrossEntropyLoss()(inputs["aux"], inputs["label"])
    valid = (inputs["label"] != IGNORE).astype("float32").mean()  # the official one averages over all pixels
    assert abs(float(main + 0.4 * aux * valid) / expected["semantic"] - 1) <= 0.01


@pytest.mark.parametrize("min_kept", [1, 100, 5000, 10**6])
def test_hard_pixels_are_those_of_paddleseg(reference, min_kept):
    inputs, _ = reference
    ours = ohem_cross_entropy(inputs["main"], inputs["label"], 0.9, min_kept)
    stock = OhemCrossEntropyLoss(0.9, min_kept)(inputs["main"], inputs["label"])
    assert abs(float(ours / stock) - 1) <= 1e-3


def test_few_hard_pixels_are_filled_up():
    """Of probabilities 0.95, 0.97, 0.99 none is under the threshold; the two lowest are kept."""
    probabilities = np.array([0.99, 0.95, 0.97, 0.5])
    logits = paddle.to_tensor(np.stack([np.log(probabilities), np.log(1 - probabilities)])[np.newaxis, :, np.newaxis])
    loss = ohem_cross_entropy(logits, paddle.to_tensor([[[0, 0, 0, IGNORE]]]), thresh=0.9, min_kept=2)
    assert float(loss) == pytest.approx(-(math.log(0.95) + math.log(0.97)) / 2)


def test_balanced_bce_weighs_by_the_other_kind():
    """One positive, two negative pixels and one ignored: weights 2/3 and 1/3, mean over three."""
    logits = np.array([1.0, -2.0, 0.5, 9.0])
    softplus = np.log1p(np.exp(logits))
    expected = (2 / 3 * (softplus[0] - logits[0]) + 1 / 3 * softplus[1] + 1 / 3 * softplus[2]) / 3
    loss = balanced_bce(*(paddle.to_tensor(v).reshape([1, 1, 2, 2]) for v in (logits, [1, 0, 0, 1], [1, 1, 1, 0])))
    assert float(loss) == pytest.approx(expected)


def test_labels_alone_make_the_boundary():
    logits, labels = paddle.randn([1, 1, 4, 6]), paddle.to_tensor(LABELS)
    own = binary_boundary(labels, width=2)
    assert float(BoundaryBCELoss(width=2)(logits, labels)) == float(BoundaryBCELoss()(logits, labels, own))


def test_many_classes_are_a_sum():
    logits, labels = paddle.randn([1, 3, 4, 6]), paddle.to_tensor(LABELS)
    valid = (labels != IGNORE).unsqueeze(1)
    band = binary_boundary(labels, 4)
    by_class = [balanced_bce(logits[:, c : c + 1], ((labels == c) & band).unsqueeze(1), valid) for c in range(3)]
    assert float(MultiClassBoundaryLoss()(logits, labels)) == pytest.approx(float(sum(by_class)), rel=1e-5)


def test_boundary_aware_loss_looks_only_where_the_network_sees_boundary():
    main = paddle.randn([1, 3, 4, 6])
    main.stop_gradient = False
    boundary = paddle.full([1, 1, 4, 6], 1.38)  # sigmoid(1.38) < 0.8 < sigmoid(1.39)
    boundary[0, 0, 0, 0] = 1.39
    loss = BoundaryAwareOhemCrossEntropyLoss(thresh=1 - 1e-6)((main, boundary), paddle.to_tensor(LABELS))
    assert float(loss) == pytest.approx(float(F.cross_entropy(main[0, :, 0, 0], paddle.to_tensor([0]))), rel=1e-5)
    loss.backward()
    assert np.argwhere(main.grad.numpy().any(axis=1)).tolist() == [[0, 0, 0]]


def numerical_gradient(function, x, step=1e-5):
    gradient = np.zeros_like(x)
    for index in np.ndindex(*x.shape):
        moved = [x.copy(), x.copy()]
        moved[0][index] -= step
        moved[1][index] += step
        low, high = (float(function(paddle.to_tensor(m))) for m in moved)
        gradient[index] = (high - low) / (2 * step)
    return gradient


BOUNDARY_LOGITS = paddle.to_tensor(np.random.default_rng(1).normal(1.5, 1, (1, 1, 4, 6)))
LOSSES = {
    "BoundaryBCELoss": (1, BoundaryBCELoss(width=2)),
    "MultiClassBoundaryLoss": (3, MultiClassBoundaryLoss(width=2)),
    "BoundaryAwareOhemCrossEntropyLoss": (
        3,
        lambda main, labels: BoundaryAwareOhemCrossEntropyLoss(min_kept=3)((main, BOUNDARY_LOGITS), labels),
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_is_the_numerical_one(name):
    channels, loss = LOSSES[name]
    labels = paddle.to_tensor(LABELS)
    x = np.random.default_rng(0).normal(0, 2, (1, channels, 4, 6))
    logits = paddle.to_tensor(x, stop_gradient=False)
    loss(logits, labels).backward()
    numerical = numerical_gradient(lambda moved: loss(moved, labels), x)
    assert np.abs(numerical).max() > 1e-3
    np.testing.assert_allclose(logits.grad.numpy(), numerical, atol=1e-7)


@settings(deadline=None, max_examples=40)
@given(
    hnp.arrays(
        np.int64,
        st.tuples(st.integers(1, 2), st.integers(1, 7), st.integers(1, 7)),
        elements=st.sampled_from([0, 1, 2, IGNORE]),
    ),
    st.sampled_from([1, 30, 1000]),
)
def test_finite_for_every_batch(labels, scale):
    check_finite(labels, scale)


@pytest.mark.parametrize("value", [0, 2, IGNORE])
def test_finite_for_one_value_alone(value):
    check_finite(np.full((2, 8, 8), value), 1)


def check_finite(labels, scale):
    n, h, w = labels.shape
    rng = np.random.default_rng(0)
    main, boundary = (
        paddle.to_tensor(scale * rng.standard_normal((n, c, h, w)).astype("float32"), stop_gradient=False)
        for c in (3, 1)
    )
    labels = paddle.to_tensor(labels)
    for logits, loss, head in (
        (boundary, BoundaryBCELoss(), boundary),
        (main, MultiClassBoundaryLoss(), main),
        ((main, boundary), BoundaryAwareOhemCrossEntropyLoss(min_kept=4), main),
    ):
        value = loss(logits, labels)
        assert value.shape == [] and value.dtype == paddle.float32
        head.clear_gradient()
        value.backward()
        assert math.isfinite(float(value)) and bool(paddle.isfinite(head.grad).all())
        if bool((labels == IGNORE).all()):
            assert float(value) == 0


def test_half_precision_does_not_overflow():
    labels = paddle.zeros([1, 400, 400], "int64")
    labels[:, :, 200:] = 1
    main, boundary = (paddle.full([1, c, 400, 400], 2.0).astype("float16") for c in (3, 1))
    for loss, logits in (
        (BoundaryBCELoss(), boundary),
        (MultiClassBoundaryLoss(), main),
        (BoundaryAwareOhemCrossEntropyLoss(), (main, boundary)),
    ):
        assert 0 < float(loss(logits, labels)) < 10


def test_no_value_travels_to_the_host(monkeypatch):
    """A training step must not wait for the device."""
    main, boundary, labels = paddle.randn([1, 3, 4, 6]), paddle.randn([1, 1, 4, 6]), paddle.to_tensor(LABELS)
    main.stop_gradient = boundary.stop_gradient = False

    def travels(*_):
        raise AssertionError("a tensor's value was read on the host")

    for name in ("numpy", "item", "tolist", "__bool__", "__int__", "__float__", "__index__"):
        monkeypatch.setattr(paddle.Tensor, name, travels)
    loss = BoundaryBCELoss()(boundary, labels) + MultiClassBoundaryLoss()(main, labels)
    loss += BoundaryAwareOhemCrossEntropyLoss()((main, boundary), labels)
    loss.backward()


@pytest.mark.parametrize("shape", [[1, 1, 4, 5], [2, 1, 4, 6], [1, 2, 4, 6]])
def test_shapes_that_differ_are_quoted(shape):
    with pytest.raises(ValueError) as error:
        BoundaryBCELoss()(paddle.zeros(shape), paddle.to_tensor(LABELS))
    assert str(shape) in str(error.value) and "[1, 4, 6]" in str(error.value)


def test_own_boundaries_of_another_shape_are_quoted():
    logits, labels = paddle.zeros([1, 1, 4, 6]), paddle.to_tensor(LABELS)
    with pytest.raises(ValueError, match=r"\[1, 1, 6\]"):
        BoundaryBCELoss()(logits, labels, paddle.zeros([1, 1, 6]))
    with pytest.raises(ValueError, match=r"boundary \[1, 4, 6\]"):
        MultiClassBoundaryLoss()(logits, labels, paddle.zeros([1, 4, 6]))


@pytest.mark.parametrize("arguments", [{"thresh": 0}, {"thresh": 1.5}, {"min_kept": 0}])
def test_senseless_hard_pixels_are_refused(arguments):
    with pytest.raises(ValueError, match=f"{next(iter(arguments))}.* {next(iter(arguments.values()))}"):
        BoundaryAwareOhemCrossEntropyLoss(**arguments)


def test_registered():
    for cls in (BoundaryBCELoss, MultiClassBoundaryLoss, BoundaryAwareOhemCrossEntropyLoss):
        assert manager.LOSSES[cls.__name__] is cls
