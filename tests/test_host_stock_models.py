"""PaddleSeg's own networks under the repairs of host/stock_models.py: each value against a plain statement of it."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from paddleseg import models
from paddleseg.models import losses

from paddleseg_ext import host
from paddleseg_ext.host.registry import PADDLE_3, PADDLESEG_BEFORE_2_9, REPAIRS

CLASSES = 4


@pytest.fixture
def everything():
    """All repairs for the duration of a test."""
    host.apply("all")
    yield
    host.apply()


@pytest.fixture
def logits():
    values = np.random.default_rng(0).standard_normal((2, CLASSES, 12, 16))
    return paddle.to_tensor(values.astype("float32"), stop_gradient=False)


@pytest.fixture
def labels():
    rng = np.random.default_rng(1)
    values = rng.integers(0, CLASSES, (2, 3, 4)).repeat(4, 1).repeat(4, 2)
    values[rng.random(values.shape) < 0.1] = 255
    return paddle.to_tensor(values)


def has_a_gradient(loss, logits):
    loss.sum().backward()
    return bool(np.isfinite(logits.grad.numpy()).all() and np.abs(logits.grad.numpy()).max() > 0)


@pytest.mark.parametrize(
    "module", [models.sfnet.AlignedModule(8, 4), models.decoupled_segnet.SqueezeBodyEdge(8)], ids=["sfnet", "decoupled"]
)
def test_flow_moves_the_pixels(module):
    ramp = paddle.arange(5, dtype="float32").expand([2, 8, 4, 5])  # its value is its column
    for columns in (0, 1):
        flow = paddle.zeros([2, 2, 4, 5])
        flow[:, 0] = columns * 2 * 5 / (5 - 1)  # from -1 to 1 there are width - 1 columns, and flow is in width
        moved = module.flow_warp(ramp, flow, paddle.shape(ramp)[2:]).numpy()
        np.testing.assert_allclose(moved[:, :, :, : 5 - columns], ramp.numpy()[:, :, :, columns:], atol=1e-5)


def test_relax_boundary_loss_away_from_boundaries_is_cross_entropy(everything, logits):
    labels = paddle.full([2, 12, 16], 2, dtype="int64")
    loss = losses.RelaxBoundaryLoss()(logits, labels)
    pixel = F.cross_entropy(logits, labels, axis=1, reduction="none").numpy().reshape(2, 12, 16)
    # the rim of the image borders on nothing, which counts as another label; border weights of the whole batch
    # meet each image's own loss, hence both sums over the batch
    assert float(loss) == pytest.approx(2 * pixel.sum() / (12 * 16 + 1), rel=1e-4)
    assert has_a_gradient(loss, logits)


@pytest.mark.parametrize("min_kept", [5, 10**6])
def test_ohem_edge_attention_loss(logits, labels, min_kept):
    edges = paddle.to_tensor(np.random.default_rng(2).random((2, 1, 12, 16)).astype("float32"))
    loss = losses.OhemEdgeAttentionLoss(edge_threshold=0.5, thresh=0.3, min_kept=min_kept)((logits, edges), labels)

    on_edges = np.where(edges.numpy()[:, 0] > 0.5, labels.numpy(), 255)
    probabilities = F.softmax(logits, axis=1).numpy()
    probability = np.take_along_axis(probabilities, np.where(on_edges == 255, 0, on_edges)[:, None], 1)[:, 0]
    kept = on_edges != 255
    if min_kept < kept.sum():
        kept &= probability < max(0.3, np.sort(probability[kept])[min_kept - 1])
    assert kept.sum() > 0
    assert float(loss) == pytest.approx(-np.log(probability[kept]).mean(), rel=1e-4)
    assert has_a_gradient(loss, logits)


def test_dual_task_loss(logits, labels):
    loss = losses.DualTaskLoss()(logits, labels)
    assert 0 < float(loss) < 1 and has_a_gradient(loss, logits)
    truth = F.one_hot(paddle.where(labels == 255, paddle.zeros_like(labels), labels), CLASSES).transpose([0, 3, 1, 2])
    certain = losses.DualTaskLoss()(truth * 1000, paddle.where(labels == 255, paddle.zeros_like(labels), labels))
    assert float(certain) < 1e-6
    only_ignored = losses.DualTaskLoss()(logits, paddle.full_like(labels, 255))
    assert float(only_ignored) == 0


@pytest.mark.skipif(not PADDLE_3, reason="the repair is not useful there")
def test_gradient_magnitudes_are_quick(everything):
    """The gradient of Paddle's own `max` takes half a minute for these on a CPU."""
    x = paddle.rand([2, 19, 48, 48])
    x.stop_gradient = False
    begin = time.process_time()  # other processes do not count
    losses.DualTaskLoss().compute_grad_mag(x).sum().backward()
    assert time.process_time() - begin < 5


def test_rmi_loss_leaves_ignored_pixels_out(logits, labels):
    loss = losses.RMILoss(num_classes=CLASSES)
    value = loss(logits, labels)
    assert has_a_gradient(value, logits)
    other = paddle.where((labels == 255).unsqueeze(1), -logits.detach(), logits.detach())
    assert float(loss(other, labels)) == pytest.approx(float(value), rel=1e-5)
    truth = F.one_hot(paddle.where(labels == 255, paddle.zeros_like(labels), labels), CLASSES).transpose([0, 3, 1, 2])
    assert float(loss(truth * 40 - 20, labels)) < float(value)


@pytest.mark.parametrize("top", [1.0, 0.5])
def test_point_cross_entropy_loss(labels, top):
    rows, columns = np.array([0, 3, 7, 11]), np.array([2, 5, 8, 15])
    points = np.stack([(columns + 0.5) / 16, (rows + 0.5) / 12], axis=1).astype("float32")
    logits = paddle.to_tensor(np.random.default_rng(3).standard_normal((2, CLASSES, 4)).astype("float32"))
    loss = losses.PointCrossEntropyLoss(top_k_percent_pixels=top)(
        [logits, paddle.to_tensor(np.stack([points, points]))], labels
    )
    picked = labels.numpy()[:, rows, columns]
    valid = picked != 255
    log = F.log_softmax(logits, axis=1).numpy()
    pixel = -np.take_along_axis(log, np.where(valid, picked, 0)[:, None], 1)[:, 0] * valid
    expected = pixel.sum() / valid.sum() if top == 1 else np.sort(pixel.ravel())[-4:].mean()
    assert float(loss) == pytest.approx(expected, rel=1e-4)


def test_most_uncertain_points(everything):
    head = models.pointrend.PointHead(num_classes=CLASSES, subdivision_num_points=3)
    certainty = np.arange(20, dtype="float32").reshape(1, 1, 4, 5)
    indices, points = head.get_points_test(paddle.to_tensor(-certainty), lambda logits: logits)
    assert indices.tolist() == [[0, 1, 2]]
    np.testing.assert_allclose(points.numpy(), [[[0.1, 0.125], [0.3, 0.125], [0.5, 0.125]]], rtol=1e-6)
    head.subdivision_num_points = paddle.to_tensor(100, dtype="int32")
    indices, points = head.get_points_test(paddle.to_tensor(-certainty), lambda logits: logits)
    assert indices.shape == [1, 20] and points.shape == [1, 20, 2]
    np.testing.assert_allclose(points.numpy()[0, -1], [0.9, 0.875], rtol=1e-6)


@pytest.mark.skipif(not PADDLESEG_BEFORE_2_9, reason="the repair is for PaddleSeg 2.8")
@pytest.mark.parametrize("is_static", [False, True])
def test_interlaced_attention_pads_what_does_not_fit(is_static):
    head = models.isanet.ISAHead(CLASSES, [1024, 32], isa_channels=8, down_factor=(4, 4), enable_auxiliary_loss=False)
    head.eval()
    head.inter_channels = 32
    for name in ("in_conv", "global_relation", "local_relation", "out_conv", "cls"):
        setattr(head, name, paddle.nn.Identity())
    x = paddle.randn([2, 32, 7, 10])
    run = head.forward
    if is_static:  # as for export
        spec = [paddle.static.InputSpec([None, None, None, None]), paddle.static.InputSpec([None, 32, None, None])]
        run = paddle.jit.to_static(head.forward, input_spec=[spec])
    (output,) = run([x, x])
    # without attention every pixel must come back to its place
    np.testing.assert_array_equal(output.numpy(), paddle.concat([x, x], axis=1).numpy())


def test_detail_targets_are_the_papers(everything):
    """Of the pyramid's steps only the coarsest alone, 0.1, is not above the threshold of 0.1."""
    loss = losses.DetailAggregateLoss()
    assert not loss.parameters()
    np.testing.assert_allclose(loss.fuse_kernel.numpy().ravel(), [0.6, 0.3, 0.1], rtol=1e-6)
    labels = paddle.zeros([1, 16, 16], dtype="int64")
    labels[:, 5, 5] = 1
    targets = []
    loss.fixed_dice_loss_func = lambda _, target: targets.append(target.numpy()) or target.sum()
    loss(paddle.zeros([1, 1, 16, 16]), labels)
    assert targets[0].sum() == 1 and targets[0][0, 0, 5, 5] == 1


@pytest.mark.parametrize("module", [models.encnet, models.fastfcn], ids=["encnet", "fastfcn"])
def test_encodings_without_copies_are_the_same(module):
    host.apply("none")
    try:
        encoding = module.Encoding(16, 5)
        x = paddle.randn([2, 16, 6, 7])
        x.stop_gradient = False
        results = []
        for policy in ("none", "encoding_without_copies"):
            host.apply(policy)
            names = [(name, parameter.shape) for name, parameter in module.Encoding(16, 5).named_parameters()]
            encoded = encoding(x)
            encoded.square().sum().backward()
            gradients = [x.grad, *(parameter.grad for parameter in encoding.parameters())]
            results.append((names, [encoded.numpy(), *(gradient.numpy() for gradient in gradients)]))
            x.clear_gradient()
            encoding.clear_gradients()
        assert REPAIRS["encoding_without_copies"].is_on
    finally:
        host.apply()
    assert results[0][0] == results[1][0]
    for stock, ours in zip(*(tensors for _, tensors in results)):
        np.testing.assert_allclose(ours, stock, atol=1e-4 * np.abs(stock).max())


def test_encodings_make_no_copies(everything, monkeypatch):
    monkeypatch.setattr(paddle, "tile", None)
    assert models.encnet.Encoding(16, 5)(paddle.randn([2, 16, 6, 7])).shape == [2, 5, 16]


CONFIG = """
model:
  type: SFNet
  num_classes: 19
  backbone: {type: ResNet18_vd, output_stride: 8, pretrained: https://example.com/weights.tar.gz}
  backbone_indices: [0, 1, 2, 3]
train_dataset:
  type: Cityscapes
  transforms: [{type: RandomPaddingCrop, crop_size: [1024, 1024]}, {type: Normalize}]
  mode: train
val_dataset: {type: Cityscapes, transforms: [{type: Normalize}], mode: val}
optimizer: {type: SGD, momentum: 0.9}
lr_scheduler: {type: PolynomialDecay, learning_rate: 0.01, end_lr: 0, power: 0.9}
loss: {types: [{type: OhemCrossEntropyLoss, min_kept: 500}], coef: [1]}
batch_size: 4
iters: 80000
"""


@pytest.mark.slow
def test_stock_zoo_runs_a_family(tmp_path):
    """SFNet trains, is evaluated and exported; folders with nothing to train are left out."""
    for family in ("sfnet", "_base_"):
        (tmp_path / family).mkdir()
    (tmp_path / "sfnet" / "sfnet_small.yml").write_text(CONFIG)
    (tmp_path / "_base_" / "data.yml").write_text("batch_size: 2\n")
    script = Path(__file__).with_name("stock_zoo.py")
    done = subprocess.run([sys.executable, script, tmp_path], capture_output=True, text=True, timeout=300)
    assert "| sfnet | sfnet_small | yes | yes | yes |  |" in done.stdout, done.stderr
    assert "_base_" not in done.stdout and done.returncode == 0
