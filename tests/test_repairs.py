"""Each repair against a plain statement of what the repaired function must give."""

import sys

import numpy as np
import paddle
import paddle.inference
import pytest
from paddleseg.cvlibs import manager
from paddleseg.models import losses
from paddleseg.transforms import RandomPaddingCrop
from paddleseg.utils import metrics

from paddleseg_ext.command import UserError
from paddleseg_ext.host import patching, registry

CLASSES = 5


@pytest.fixture
def logits():
    rng = np.random.default_rng(0)
    return paddle.to_tensor(rng.standard_normal((2, CLASSES, 6, 8)).astype("float32"), stop_gradient=False)


@pytest.fixture
def labels():
    rng = np.random.default_rng(1)
    values = rng.integers(0, CLASSES, (2, 6, 8))
    values[rng.random(values.shape) < 0.2] = 255
    return paddle.to_tensor(values.astype("int64"))


def log_softmax(x):
    x = x - x.max(1, keepdims=True)
    return x - np.log(np.exp(x).sum(1, keepdims=True))


def pixel_cross_entropy(logits, labels):
    """Per-pixel cross-entropy (N, H, W) and validity, in NumPy."""
    labels = labels.numpy()
    valid = labels != 255
    picked = np.take_along_axis(log_softmax(logits.numpy()), np.where(valid, labels, 0)[:, None], 1)[:, 0]
    return -picked * valid, valid


def test_trainer_losses(logits, labels):
    trainer = sys.modules["paddleseg.core.train"]
    both = {"types": [losses.CrossEntropyLoss()] * 2, "coef": [1, 0.5]}
    computed = trainer.loss_computation([logits, logits], labels, None, both)
    assert float(computed[1]) == pytest.approx(float(computed[0]) / 2)


def test_areas_per_class(logits, labels):
    pred = logits.argmax(1, keepdim=True, dtype="int32")
    areas = metrics.calculate_area(pred, labels.unsqueeze(1), CLASSES)
    pred, label = pred.numpy()[:, 0], labels.numpy()
    for c in range(CLASSES):
        expected = ((pred == c) & (label == c), (pred == c) & (label != 255), label == c)
        assert [int(area[c]) for area in areas] == [mask.sum() for mask in expected]


@pytest.mark.parametrize("weight", [None, [1.0, 2.0, 0.5, 1.0, 3.0]])
@pytest.mark.parametrize("avg_non_ignore", [True, False])
def test_cross_entropy(logits, labels, weight, avg_non_ignore):
    pixel, valid = pixel_cross_entropy(logits, labels)
    coef = np.take(weight or np.ones(CLASSES), np.where(valid, labels.numpy(), 0))
    # with weights and all pixels, PaddleSeg 2.9 divides by the number of pixels
    expected = (pixel * coef).sum() / ((coef * valid).sum() if avg_non_ignore else coef.size)
    loss = losses.CrossEntropyLoss(weight=weight, avg_non_ignore=avg_non_ignore)(logits, labels)
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_cross_entropy_of_the_hardest_pixels(logits, labels):
    pixel, valid = pixel_cross_entropy(logits, labels)
    kept = np.sort(pixel.ravel())[::-1][: pixel.size // 4]
    loss = losses.CrossEntropyLoss(top_k_percent_pixels=0.25)(logits, labels)
    assert float(loss) == pytest.approx(kept.mean(), rel=1e-5)


@pytest.mark.parametrize("weight", [None, [1.0, 2.0, 0.5, 1.0, 3.0]])
@pytest.mark.parametrize(("thresh", "min_kept"), [(0.1, 20), (0.9, 20), (0.1, 0), (0.5, 10**6)])
def test_ohem_cross_entropy(logits, labels, thresh, min_kept, weight):
    if weight and registry.PADDLESEG_BEFORE_2_9:
        pytest.skip("OhemCrossEntropyLoss has class weights since PaddleSeg 2.9")
    pixel, valid = pixel_cross_entropy(logits, labels)
    kept = valid
    if 0 < min_kept < valid.sum():
        prob = np.where(valid, np.exp(-pixel), 2.0)
        kept = valid & (prob < max(thresh, np.sort(prob.ravel())[min_kept - 1]))
    coef = np.take(weight or np.ones(CLASSES), np.where(valid, labels.numpy(), 0))
    loss = losses.OhemCrossEntropyLoss(thresh, min_kept, **({"weight": weight} if weight else {}))(logits, labels)
    assert float(loss) == pytest.approx((pixel * coef)[kept].sum() / (kept.sum() + 1e-5 * kept.size), rel=1e-5)


def test_ohem_cross_entropy_reads_nothing_from_the_device(logits, labels, monkeypatch):
    def read(*_):
        raise AssertionError("the loss reads the device")

    for name in ("__bool__", "__int__", "__float__", "__index__", "item", "numpy"):
        monkeypatch.setattr(paddle.Tensor, name, read)
    losses.OhemCrossEntropyLoss(thresh=0.9, min_kept=20)(logits, labels)


def test_bce_names_the_missing_boundary_labels(logits, labels):
    both = {"types": [losses.BCELoss(weight="dynamic", edge_label=True)], "coef": [1]}
    with pytest.raises(UserError, match="add `- type: AddEdgeLabel` to the front of train_dataset.transforms"):
        sys.modules["paddleseg.core.train"].loss_computation([logits[:, :1]], labels, None, both)


def test_edge_labels_grow_with_the_picture():
    label = np.zeros((40, 60), np.uint8)
    label[:, 30:] = 255
    data = {"img": np.zeros((40, 60, 3), np.float32), "label": label, "gt_fields": ["label"], "trans_info": []}
    for transform in (manager.TRANSFORMS["AddEdgeLabel"](), manager.TRANSFORMS["Resize"](target_size=[120, 80])):
        data = transform(data)
        rows, columns = (np.flatnonzero(data["edge"].any(axis)) for axis in (1, 0))
        factor = data["edge"].shape[0] // 40
        assert (data["edge"][np.ix_(rows, columns)] == 1).all()
        assert len(columns) == 4 * factor and {30 * factor - 1, 30 * factor} < set(columns)
        # one row above the 6 that are left out, and two below, as a square of even side does
        assert (rows[0], rows[-1]) == (5 * factor, 36 * factor - 1)


def test_memory_optim_that_is_asked_for_before_the_gpu(monkeypatch):
    """As in PaddleSeg's deploy script; on a CPU it stays off."""

    class Config:
        def __init__(self):
            self.calls, self.gpu = [], False

        def delete_pass(self, name):
            self.calls.append(name)

        def use_gpu(self):
            return self.gpu

        def enable_memory_optim(self, x=True):
            self.calls.append(f"memory_optim {x}")

        def enable_use_gpu(self):
            self.gpu = True

    monkeypatch.setattr(paddle.inference, "Config", Config)
    before = patching.count()
    registry.REPAIRS["inference_on_a_cpu"].patch()
    try:
        config = Config()
        config.enable_memory_optim()
        assert config.calls == ["onednn_placement_pass"]
        config.enable_use_gpu()
        assert config.calls == ["onednn_placement_pass", "memory_optim True"]
        other = Config()
        other.enable_memory_optim()
        other.enable_memory_optim(x=False)
        other.enable_use_gpu()
        assert other.calls == ["onednn_placement_pass"]
    finally:
        patching.undo(before)


def test_ohem_of_four_million_pixels_is_exact():
    """A CPU's mean of them is half a percent off."""
    loss = losses.OhemCrossEntropyLoss()(paddle.zeros([1, 2, 2048, 2048]), paddle.zeros([1, 2048, 2048], "int64"))
    assert float(loss) == pytest.approx(np.log(2), rel=1e-4)


def test_dice_loss_leaves_the_labels_alone(logits, labels):
    before = labels.numpy().copy()
    mixed = losses.MixedLoss([losses.DiceLoss(), losses.CrossEntropyLoss()], [1, 1])
    dice, cross_entropy = mixed(logits, labels)
    np.testing.assert_array_equal(labels.numpy(), before)
    assert float(cross_entropy) == pytest.approx(float(losses.CrossEntropyLoss()(logits, labels)))
    (dice + cross_entropy).backward()
    assert np.isfinite(logits.grad.numpy()).all()


@pytest.mark.parametrize("loss", [losses.LovaszSoftmaxLoss, losses.LovaszHingeLoss])
def test_lovasz_of_only_ignored_pixels(loss, logits, labels):
    logits = logits[:, : 1 if loss is losses.LovaszHingeLoss else CLASSES].detach()
    logits.stop_gradient = False
    value = loss()(logits, paddle.full_like(labels, 255))
    value.backward()
    assert float(value) == 0 and float(logits.grad.abs().max()) == 0
    halves = paddle.full([1, logits.shape[1], 64, 64], 50.0, "float16")  # whose sum is infinite
    assert float(loss()(halves, paddle.full([1, 64, 64], 255, "int64"))) == 0


def test_se_cross_entropy_takes_both_forms(labels):
    flat = paddle.linspace(-1, 1, 2 * CLASSES).reshape([2, CLASSES])
    labels = paddle.where(labels == 255, paddle.zeros_like(labels), labels)
    loss = losses.SECrossEntropyLoss()
    assert float(loss(flat.reshape([2, CLASSES, 1, 1]), labels)) == float(loss(flat, labels))


def test_a_crop_by_categories_is_one_of_the_picture():
    np.random.seed(0)
    picture = np.arange(8 * 8 * 3, dtype="uint8").reshape(8, 8, 3)
    label = np.tile(np.arange(8, dtype="uint8"), (8, 1))
    crop = RandomPaddingCrop(crop_size=(4, 6), category_max_ratio=0.75)
    data = crop({"img": picture, "label": label, "gt_fields": ["label"]})
    assert data["img"].shape == (6, 4, 3)
    np.testing.assert_array_equal(data["img"][0, :, 0] // 3 % 8, data["label"][0])  # of the same place
