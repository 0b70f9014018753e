"""The boundary losses: official numbers, hand-made values, gradients, and batches that leave nothing to learn."""

import math

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_support import IGNORE, batches
from paddleseg.cvlibs import manager
from paddleseg.models.losses import MixedLoss, OhemCrossEntropyLoss
from reference_support import image, labels, numbers

from paddleseg_ext import (
    AllPixelCrossEntropyLoss,
    BoundaryAwareOhemCrossEntropyLoss,
    BoundaryBCELoss,
    BoundaryDoULoss,
    EdgeLabelBCELoss,
    EncodingBCELoss,
    MultiClassBoundaryLoss,
    WeightedOhemCrossEntropyLoss,
    losses,
)
from paddleseg_ext.boundary import binary_boundary
from paddleseg_ext.losses.boundary import balanced_bce
from paddleseg_ext.losses.boundary_dou import boundary_dou
from paddleseg_ext.losses.common import losses_in_float32
from paddleseg_ext.losses.ohem import ohem_cross_entropy

LABELS = np.array([[[0, 0, 1, 1, 2, IGNORE], [0, 0, 1, 1, 2, IGNORE], [0, 0, 0, 1, 2, 2], [0, 0, 0, 1, 2, 2]]])


@pytest.fixture(scope="module")
def reference():
    """Official inputs as tensors and official results as numbers."""
    inputs = {
        "main": image("losses_19_main", (2, 19, 64, 96)) * 3,
        "aux": image("losses_19_aux", (2, 19, 64, 96)),
        "boundary": image("losses_19_boundary", (2, 1, 64, 96)) * 2,
        "label": labels("losses_19_label", (2, 64, 96), 19),
        "edge": image("losses_19_edge", (2, 64, 96)) > 1,
    }
    return {name: paddle.to_tensor(value) for name, value in inputs.items()}, numbers("sanet_losses")


@pytest.mark.parametrize("loss", [EdgeLabelBCELoss(), BoundaryBCELoss()], ids=["edge labels", "own boundaries"])
def test_boundary_loss_is_the_official_one(reference, loss):
    inputs, expected = reference
    logits = inputs["boundary"].clone()
    logits.stop_gradient = False
    nothing_ignored = paddle.zeros_like(inputs["label"])  # the official loss knows no ignored pixels
    edges = inputs["edge"].astype("int64")
    value = 20 * (loss(logits, edges) if loss.__class__.__name__ == "BCELoss" else loss(logits, nothing_ignored, edges))
    value.backward()
    assert abs(float(value) / expected["boundary"] - 1) <= 1e-4
    gradient = expected["boundary_grad"]
    assert np.abs(logits.grad.numpy() - gradient).max() <= 1e-4 * np.abs(gradient).max()


def test_semantic_losses_are_the_official_ones(reference):
    inputs, expected = reference
    aware = BoundaryAwareOhemCrossEntropyLoss(min_kept=1000)((inputs["main"], inputs["boundary"]), inputs["label"])
    assert abs(float(aware) / expected["boundary_aware"] - 1) <= 1e-3
    main = WeightedOhemCrossEntropyLoss(thresh=0.9, min_kept=1000)(inputs["main"], inputs["label"])
    aux = AllPixelCrossEntropyLoss()(inputs["aux"], inputs["label"])
    assert abs(float(main + 0.4 * aux) / expected["semantic"] - 1) <= 1e-3


def test_padding_has_no_boundary_and_counts():
    logits, edges = paddle.randn([1, 1, 4, 6]), paddle.to_tensor(LABELS)
    edges = paddle.where(edges == IGNORE, edges, edges % 2)
    without = paddle.where(edges == IGNORE, paddle.zeros_like(edges), edges)
    assert float(EdgeLabelBCELoss()(logits, edges)) == float(EdgeLabelBCELoss()(logits, without))
    assert float(EdgeLabelBCELoss()(logits, without)) != float(
        BoundaryBCELoss()(logits, paddle.to_tensor(LABELS), without)
    )


def test_trainer_hands_over_the_boundary_labels():
    """PaddleSeg's own function does so for losses of one class name."""
    from paddleseg.core.train import loss_computation

    logits, labels = paddle.randn([1, 1, 4, 6]), paddle.to_tensor(LABELS)
    losses = {"types": [EdgeLabelBCELoss()], "coef": [20]}
    (value,) = loss_computation([logits], labels, labels % 2, losses)
    assert float(value) == pytest.approx(20 * float(EdgeLabelBCELoss()(logits, labels % 2)))
    with pytest.raises(ValueError, match="AddEdgeLabel"):
        EdgeLabelBCELoss()(logits, None)  # as the trainer does where the data set gives none


WEIGHT = [0.5, 1.0, 4.0]


def naive_ohem(logits, labels, thresh, min_kept, weight):
    """The rule as it is written, with a sort: hard pixels are chosen without the weights."""
    n, k, h, w = logits.shape
    rows, labels = logits.transpose(0, 2, 3, 1).reshape(-1, k), labels.ravel()
    rows, labels = rows[labels != IGNORE], labels[labels != IGNORE]
    log_sum = np.log(np.exp(rows).sum(1))
    losses = log_sum - rows[np.arange(len(rows)), labels]
    probabilities = np.exp(-losses)
    threshold = max(thresh, np.sort(probabilities)[min(min_kept, len(rows)) - 1])
    return (losses * np.asarray(weight)[labels])[probabilities <= threshold].mean()


@pytest.mark.parametrize("min_kept", [1, 5, 12, 100])
def test_weights_weigh_what_was_chosen_without_them(min_kept):
    logits = np.random.default_rng(0).normal(0, 3, (1, 3, 4, 6))
    loss = WeightedOhemCrossEntropyLoss(0.6, min_kept, weight=WEIGHT)
    got = float(loss(paddle.to_tensor(logits), paddle.to_tensor(LABELS)))
    assert got == pytest.approx(naive_ohem(logits, LABELS, 0.6, min_kept, WEIGHT), rel=1e-6)


def test_weighted_pixels_on_the_boundary():
    """Boundary everywhere: the boundary-aware loss is the main one."""
    main, everywhere = paddle.randn([1, 3, 4, 6]), paddle.full([1, 1, 4, 6], 9.0)
    aware = BoundaryAwareOhemCrossEntropyLoss(min_kept=5, weight=WEIGHT)((main, everywhere), paddle.to_tensor(LABELS))
    assert float(aware) == float(
        WeightedOhemCrossEntropyLoss(min_kept=5, weight=WEIGHT)(main, paddle.to_tensor(LABELS))
    )


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_auxiliary_loss_is_divided_by_all_pixels(weight):
    logits = np.random.default_rng(0).normal(0, 1, (1, 3, 4, 6))
    each = naive_ohem(logits, LABELS, 1.0, 10**6, weight or [1, 1, 1]) * (LABELS != IGNORE).sum() / LABELS.size
    loss = AllPixelCrossEntropyLoss(weight)(paddle.to_tensor(logits), paddle.to_tensor(LABELS))
    assert float(loss) == pytest.approx(each, rel=1e-6)


@pytest.mark.parametrize(
    "loss",
    [AllPixelCrossEntropyLoss(WEIGHT), WeightedOhemCrossEntropyLoss(weight=WEIGHT)],
    ids=lambda loss: type(loss).__name__,
)
def test_as_many_weights_as_classes(loss):
    with pytest.raises(ValueError, match="weight has 3 numbers, the logits have 5 classes"):
        loss(paddle.zeros([1, 5, 4, 6]), paddle.to_tensor(LABELS))


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
    "EdgeLabelBCELoss": (1, lambda logits, labels: EdgeLabelBCELoss()(logits, labels % 2)),
    "AllPixelCrossEntropyLoss": (3, AllPixelCrossEntropyLoss(WEIGHT)),
    "WeightedOhemCrossEntropyLoss": (3, WeightedOhemCrossEntropyLoss(min_kept=3, weight=WEIGHT)),
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
    batches(7),
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
        ((main, boundary), BoundaryAwareOhemCrossEntropyLoss(min_kept=4, weight=WEIGHT), main),
        (main, WeightedOhemCrossEntropyLoss(min_kept=4, weight=WEIGHT), main),
        (main, AllPixelCrossEntropyLoss(WEIGHT), main),
        (boundary, EdgeLabelBCELoss(), boundary),
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
        (WeightedOhemCrossEntropyLoss(weight=WEIGHT), main),
        (AllPixelCrossEntropyLoss(WEIGHT), main),
        (EdgeLabelBCELoss(), boundary),
    ):
        assert 0 < float(loss(logits, labels)) < 10


def test_a_million_pixels_are_summed_exactly():
    """A CPU's sum over three axes at once is percents off then, and so is a matrix product; its mean half a percent."""
    n, k, side = 1, 5, 1024
    stripes = (paddle.arange(side) * k // side).tile([n, side, 1])
    certain = 5 * paddle.nn.functional.one_hot(stripes, k).transpose([0, 3, 1, 2])
    in_float64 = boundary_dou(certain.astype("float64"), stripes)
    edges, labels = paddle.zeros([n, side, side], "int64"), paddle.zeros([n, side, side], "int64")
    edges[:, ::16], labels[:, :32] = 1, IGNORE
    boundary, main = paddle.zeros([n, 1, side, side]), paddle.zeros([n, k, side, side])
    positive, valid = 1 / 16, 1 - 32 / side
    for value, expected in (
        (EdgeLabelBCELoss()(boundary, edges), 2 * positive * (1 - positive) * math.log(2)),
        (AllPixelCrossEntropyLoss()(main, labels), valid * math.log(k)),
        (WeightedOhemCrossEntropyLoss()(main, labels), math.log(k)),
        (1 - BoundaryDoULoss()(certain, stripes), 1 - float(in_float64)),
    ):
        assert float(value) == pytest.approx(expected, rel=1e-4)


def test_no_value_travels_to_the_host(monkeypatch):
    """A training step must not wait for the device."""
    main, boundary, labels = paddle.randn([1, 3, 4, 6]), paddle.randn([1, 1, 4, 6]), paddle.to_tensor(LABELS)
    main.stop_gradient = boundary.stop_gradient = False

    def travels(*_, **__):
        raise AssertionError("a tensor's value was read on the host")

    boundary_aware, auxiliary = BoundaryAwareOhemCrossEntropyLoss(weight=WEIGHT), AllPixelCrossEntropyLoss(WEIGHT)
    for name in ("numpy", "item", "tolist", "__bool__", "__int__", "__float__", "__index__"):
        monkeypatch.setattr(paddle.Tensor, name, travels)
    monkeypatch.setattr(paddle, "to_tensor", travels)  # which waits, too
    loss = BoundaryBCELoss()(boundary, labels) + MultiClassBoundaryLoss()(main, labels)
    loss += boundary_aware((main, boundary), labels) + auxiliary(main, labels)
    loss += EdgeLabelBCELoss()(boundary, labels)
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


@pytest.mark.parametrize(
    "loss, arguments, message",
    [
        (BoundaryAwareOhemCrossEntropyLoss, {"boundary_thresh": 80}, "boundary_thresh is 80; expected a probability"),
        (BoundaryBCELoss, {"width": 0}, "width is 0; expected at least 1"),
    ],
)
def test_senseless_boundaries_are_refused(loss, arguments, message):
    with pytest.raises(ValueError, match=message):
        loss(**arguments)


def test_one_output_is_no_pair():
    with pytest.raises(ValueError, match="the pair of main and boundary logits"):
        BoundaryAwareOhemCrossEntropyLoss()(paddle.randn([2, 3, 4, 6]), paddle.to_tensor(LABELS))


def test_edges_of_a_data_set_have_an_axis_more():
    logits, edges = paddle.randn([1, 1, 4, 6]), paddle.to_tensor(LABELS == 1).astype("int64")
    assert float(EdgeLabelBCELoss()(logits, edges.unsqueeze(1))) == float(EdgeLabelBCELoss()(logits, edges))


def test_edges_and_mixed_loss_do_not_go_together():
    mixed = {"types": [MixedLoss([EdgeLabelBCELoss()], [1])], "coef": [1]}
    data = {"label": paddle.to_tensor(LABELS)}
    with pytest.raises(ValueError, match=r"loss.types\[0\]: EdgeLabelBCELoss in a MixedLoss"):
        losses_in_float32([paddle.randn([1, 1, 4, 6])], mixed, data)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32"])
def test_all_integers_are_labels(dtype):
    main, boundary = paddle.randn([1, 3, 4, 6]), paddle.randn([1, 1, 4, 6])
    outputs = {
        BoundaryBCELoss(): boundary,
        MultiClassBoundaryLoss(): main,
        BoundaryAwareOhemCrossEntropyLoss(weight=WEIGHT): (main, boundary),
        AllPixelCrossEntropyLoss(WEIGHT): main,
        EncodingBCELoss(3): main[:, :, 0, 0],
    }
    labels = paddle.to_tensor(LABELS)
    for loss, logits in outputs.items():
        assert float(loss(logits, labels.astype(dtype))) == float(loss(logits, labels))


def test_registered():
    for name in losses.__all__:
        assert manager.LOSSES[name] is getattr(losses, name)


@pytest.mark.parametrize("loss", [BoundaryBCELoss(), MultiClassBoundaryLoss(), BoundaryAwareOhemCrossEntropyLoss()])
def test_float_labels_are_refused(loss):
    logits = paddle.randn([1, 1, 4, 6])
    pair = (paddle.randn([1, 3, 4, 6]), logits)
    with pytest.raises(ValueError, match="labels are paddle.float32; expected integers"):
        loss(pair if isinstance(loss, BoundaryAwareOhemCrossEntropyLoss) else logits, paddle.ones([1, 4, 6]))
