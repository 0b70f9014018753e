"""Repairs of PaddleSeg (and one of Paddle), each gated on the versions that need it.

PaddleSeg 2.8.0, the newest on PyPI, was written for Paddle 2.4: before 0-D tensors (2.5) and before Paddle refused
to mix integers with floats (3.0). A repair is one function that patches one thing; deleting the function removes it.
What was already there is wrapped rather than replaced where that is possible.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import importlib.util
import os
import shutil
import signal
import sys
from types import SimpleNamespace
from typing import Callable, NamedTuple

import paddle
import paddle.nn.functional as F

from paddleseg_ext.command import UserError, one_line

PADDLE = tuple(int(part) for part in paddle.__version__.split(".")[:2])
# PaddleSeg from git calls itself 0.0.0.dev0 whatever its age, so its age is told by what it has
PADDLESEG_BEFORE_2_9 = importlib.util.find_spec("paddleseg.core.analyse") is None


class Repair(NamedTuple):
    """One repair: `patch()` fixes what `reason` says; `upstream` tells since when it is not needed."""

    patch: Callable[[], None]
    needed: bool
    reason: str
    upstream: str

    @property
    def name(self) -> str:
        return self.patch.__name__


REPAIRS: list[Repair] = []
_applied: list[Repair] = []


def apply() -> list[Repair]:
    """Apply, once, every repair that these versions of Paddle and PaddleSeg need; returns those applied."""
    if not _applied:
        for repair in REPAIRS:
            if repair.needed:
                repair.patch()
                _applied.append(repair)
    return list(_applied)


def _repair(needed: bool, reason: str, upstream: str):
    def register(patch):
        REPAIRS.append(Repair(patch, needed, reason, upstream))
        return patch

    return register


def _wrap(owner, name: str, wrapper: Callable) -> None:
    """Replace `owner.name` by ``wrapper(original, *args, **kwargs)``."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapped(*args, **kwargs):
        return wrapper(original, *args, **kwargs)

    setattr(owner, name, wrapped)


@_repair(
    PADDLESEG_BEFORE_2_9 and PADDLE >= (2, 5),
    "the trainer's log indexes its losses, which are 0-D since Paddle 2.5: too many indices",
    "fixed in PaddleSeg 2.9 (core/train.py)",
)
def losses_with_an_axis():
    from paddleseg.models.maskformer import MaskFormer

    def with_an_axis(original, *args, **kwargs):
        return [loss.reshape([1]) if loss.ndim == 0 else loss for loss in original(*args, **kwargs)]

    # `paddleseg.core.train` is the function, which hides its module
    _wrap(sys.modules["paddleseg.core.train"], "loss_computation", with_an_axis)
    _wrap(MaskFormer, "loss_computation", with_an_axis)


@_repair(
    PADDLESEG_BEFORE_2_9 and PADDLE >= (2, 5),
    "the areas per class are 0-D since Paddle 2.5 and cannot be concatenated",
    "fixed in PaddleSeg 2.9 (utils/metrics.py)",
)
def areas_per_class():
    from paddleseg.utils import metrics

    def calculate_area(pred, label, num_classes, ignore_index=255):
        if pred.ndim == 4:
            pred = pred.squeeze(1)
        if label.ndim == 4:
            label = label.squeeze(1)
        if pred.shape != label.shape:
            raise ValueError(f"pred and label should have the same shape, but have {pred.shape} and {label.shape}")
        valid = label != ignore_index
        areas = ([], [], [])
        for c in range(num_classes):
            pred_c = paddle.logical_and(pred == c, valid)
            label_c = label == c
            for area, mask in zip(areas, (paddle.logical_and(pred_c, label_c), pred_c, label_c)):
                area.append(mask.astype("int64").sum())
        return tuple(paddle.stack(area) for area in areas)

    calculate_area.__doc__ = metrics.calculate_area.__doc__
    metrics.calculate_area = calculate_area


@_repair(
    PADDLESEG_BEFORE_2_9,
    "CrossEntropyLoss multiplies floats by integers (refused by Paddle 3), and with `weight` and "
    "`avg_non_ignore=False` takes the one-hot of the ignored label",
    "fixed in PaddleSeg 2.9 (models/losses/cross_entropy_loss.py)",
)
def cross_entropy_coefficients():
    from paddleseg.models.losses import CrossEntropyLoss

    def post_process(self, logit, label, semantic_weights, loss):
        valid = label != self.ignore_index
        mask = (valid if self.avg_non_ignore else paddle.ones_like(valid)).astype("float32")
        if loss.ndim > mask.ndim:
            loss = loss.squeeze(-1)
        loss = loss * mask
        if semantic_weights is not None:
            loss = loss * semantic_weights
        coef = paddle.ones_like(mask)
        if self.weight is not None:
            classes = paddle.where(valid, label, paddle.zeros_like(label))
            coef = paddle.gather(self.weight, classes.flatten()).reshape(label.shape)
        if self.top_k_percent_pixels == 1.0:
            return loss.mean() / ((mask * coef).mean() + self.EPS)
        loss, kept = loss.flatten().topk(int(self.top_k_percent_pixels * loss.size))
        return loss.mean() / (coef.flatten().gather(kept).mean() + self.EPS)

    CrossEntropyLoss._post_process_loss = post_process


@_repair(
    True,
    "OhemCrossEntropyLoss sorts every pixel, waits for the device to count them, and in 2.8 on Paddle 3 adds integers "
    "to floats as soon as it has pixels to choose from",
    "the last of the three fixed in PaddleSeg 2.9 (models/losses/ohem_cross_entropy_loss.py)",
)
def ohem_cross_entropy_on_the_device():
    from paddleseg.models.losses import OhemCrossEntropyLoss, ohem_cross_entropy_loss

    if getattr(ohem_cross_entropy_loss, "_IS_NPU", False) or getattr(ohem_cross_entropy_loss, "_IS_MLU", False):
        return  # for them, 2.9 goes a way of its own

    def forward(self, logit, label):
        if label.ndim == 4:
            label = label.squeeze(1)
        label = label.astype("int64")
        kept = label != self.ignore_index
        weight = getattr(self, "weight", None)  # since 2.9
        if weight is not None:
            if len(weight) != logit.shape[1]:
                raise ValueError(f"weight has {len(weight)} entries, but there are {logit.shape[1]} classes")
            weight = weight.gather((label * kept.astype("int64")).flatten()).reshape(label.shape)
        logit = logit.transpose([0, 2, 3, 1])  # softmax is faster along the last axis
        loss = F.cross_entropy(logit, label, ignore_index=self.ignore_index, reduction="none").reshape(label.shape)
        if 0 < self.min_kept < label.size:
            prob = paddle.exp(-loss.detach())
            prob = paddle.where(kept, prob, paddle.full_like(prob, 2.0))  # ignored pixels come last
            hardest = prob.flatten().topk(self.min_kept, largest=False, sorted=False)[0].max()
            threshold = paddle.clip(hardest, min=self.thresh)
            few = kept.astype("int64").sum() <= self.min_kept  # then all are kept
            kept = kept & (prob < paddle.where(few, paddle.full_like(threshold, 2.0), threshold))
        if weight is not None:
            loss = loss * weight
        kept = kept.astype(loss.dtype)
        return (loss * kept).mean() / (kept.mean() + self.EPS)

    OhemCrossEntropyLoss.forward = forward


@_repair(
    PADDLESEG_BEFORE_2_9 and PADDLE >= (3, 0),
    "BCELoss with weight='dynamic' multiplies floats by integer labels",
    "fixed in PaddleSeg 2.9 (models/losses/binary_cross_entropy_loss.py)",
)
def bce_dynamic_weight():
    from paddleseg.models.losses import BCELoss

    def with_float_labels(original, self, logit, label):
        channels = label.shape[1] if label.ndim == logit.ndim else 1
        if channels == logit.shape[1]:  # otherwise the labels are classes, still to be made one-hot
            label = label.astype("float32")
        return original(self, logit, label)

    _wrap(BCELoss, "forward", with_float_labels)


@_repair(
    PADDLESEG_BEFORE_2_9,
    "there is no AddEdgeLabel, which draws the boundary labels that BCELoss with edge_label takes",
    "there since PaddleSeg 2.9 (transforms/transforms.py)",
)
def add_edge_label():
    import cv2
    import numpy as np
    from paddleseg.cvlibs import manager

    @manager.TRANSFORMS.add_component
    class AddEdgeLabel:
        """Boundaries of the label as `edge`, 0 and 1, from where it stands in the list of transforms.

        Canny(0.1, 0.2), without the outer 6 pixels, where some data sets' pictures have a rim; widened to `edge_size`.
        """

        RIM = 6

        def __init__(self, edge_size: int = 4, ignore_index: int = 255):  # 2.9 makes no use of it either
            self.edge_size = edge_size

        def __call__(self, data: dict) -> dict:
            edge = cv2.Canny(data["label"], 0.1, 0.2)
            inner = (slice(self.RIM, -self.RIM),) * 2
            kept = np.zeros_like(edge)
            kept[inner] = edge[inner] > 0
            data["edge"] = cv2.dilate(kept, np.ones((self.edge_size, self.edge_size), np.uint8))
            data["gt_fields"].append("edge")
            return data


@_repair(
    True,
    "BCELoss with edge_label says that None has no shape where the data set has no boundary labels",
    "not fixed in develop of October 2024 (core/train.py)",
)
def bce_without_edges():
    from paddleseg.models.losses import BCELoss

    def told(original, self, logit, label):
        if label is None:
            raise UserError(
                "BCELoss with edge_label: the data set gives no boundary labels: add `- type: AddEdgeLabel` to the "
                "front of train_dataset.transforms"
            )
        return original(self, logit, label)

    _wrap(BCELoss, "forward", told)


@_repair(
    True,
    "DiceLoss writes class 0 over the ignored pixels of the label that the other losses learn from",
    "not fixed in develop of October 2024 (models/losses/dice_loss.py)",
)
def dice_loss_on_its_own_labels():
    from paddleseg.models.losses import DiceLoss

    def on_a_copy(original, self, logits, labels):
        return original(self, logits, labels.clone())

    _wrap(DiceLoss, "forward", on_a_copy)


@_repair(
    True,
    "the Lovasz losses crash (Paddle 2.6: SIGSEGV) or return an empty loss when every pixel is ignored",
    "not fixed in develop of October 2024 (models/losses/lovasz_loss.py)",
)
def lovasz_of_nothing():
    from paddleseg.models.losses import LovaszHingeLoss, LovaszSoftmaxLoss

    def zero_of_nothing(original, self, logits, labels):
        if self.ignore_index is not None and not (labels != self.ignore_index).any():
            return logits.sum() * 0.0
        return original(self, logits, labels)

    for loss in (LovaszHingeLoss, LovaszSoftmaxLoss):
        _wrap(loss, "forward", zero_of_nothing)


@_repair(
    True,
    "SECrossEntropyLoss squeezes axis 3 of what has three axes left: 4-D logits fail",
    "not fixed in develop of October 2024 (models/losses/semantic_encode_cross_entropy_loss.py)",
)
def se_cross_entropy_of_4d_logits():
    from paddleseg.models.losses import SECrossEntropyLoss

    def of_2d_logits(original, self, logit, label):
        return original(self, logit.flatten(1) if logit.ndim == 4 else logit, label)

    _wrap(SECrossEntropyLoss, "forward", of_2d_logits)


@_repair(
    PADDLE < (3, 0),
    "binary_cross_entropy_with_logits on a CPU weighs the wrong term with pos_weight (x -2, y 1, weight 2 gives "
    "2.254 instead of 4.254)",
    "fixed in Paddle 3",
)
def bce_with_logits_pos_weight():
    def weighted(original, logit, label, weight=None, reduction="mean", pos_weight=None, name=None):
        if pos_weight is None:
            return original(logit, label, weight=weight, reduction=reduction, name=name)
        # y w softplus(-x) + (1 - y) softplus(x), as softplus(x) - x = softplus(-x)
        factor = 1 + (pos_weight - 1) * label
        loss = factor * F.softplus(-logit) + (1 - label) * logit
        if weight is not None:
            loss = loss * weight
        return {"none": lambda x: x, "sum": paddle.sum, "mean": paddle.mean}[reduction](loss)

    _wrap(F, "binary_cross_entropy_with_logits", weighted)


@_repair(
    True,
    "an error while reading a sample leaves the trainer waiting for ever (num_workers 0) or is lost (workers), as is "
    "what killed a worker",
    "not fixed in Paddle 3.3 (io/dataloader/dataloader_iter.py)",
)
def data_loader_errors_reach_the_trainer():
    from paddle.base import core
    from paddle.io.dataloader import dataloader_iter

    def keep_the_error(original, self, *args):
        try:
            original(self, *args)
        except Exception as error:
            self.reader_error = error
            self._exit_thread_unexpectedly()

    def death(told, out_of_shared_memory):
        if out_of_shared_memory:
            megabytes = shutil.disk_usage("/dev/shm").total >> 20
            return UserError(
                f"num_workers: the shared memory /dev/shm is full ({megabytes} MB): enlarge it (docker run --shm-size "
                "8g), or lower num_workers or batch_size"
            )
        return UserError(
            f"num_workers: {told}: if memory ran out (dmesg tells), lower num_workers or batch_size; num_workers 0 "
            "shows its error"
        )

    def death_of_one(workers):
        for worker in workers:
            code = worker.exitcode
            if code:
                cause = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
                return death(f"the data worker {worker.pid} {cause}", code == -signal.SIGBUS)
        return None

    def name_the_dead(original):  # from a signal handler, wherever the trainer is at that moment
        try:
            original()
        except SystemError as error:
            raise death(one_line(error), "/dev/shm" in str(error)) from error

    def raise_the_error(original, self):
        try:
            return original(self)
        except SystemError:  # the queue between the threads was closed
            error = getattr(self, "reader_error", None) or death_of_one(getattr(self, "_workers", ()))
            if error is None:
                raise
            if hasattr(self, "_try_shutdown_all"):
                self._try_shutdown_all()
            raise error from None

    for loader in (dataloader_iter._DataLoaderIterSingleProcess, dataloader_iter._DataLoaderIterMultiProcess):
        _wrap(loader, "_thread_loop", keep_the_error)
        _wrap(loader, "__next__", raise_the_error)
    _wrap(core, "_throw_error_if_process_failed", name_the_dead)


@_repair(
    sys.platform == "linux",
    "data workers of a trainer that was killed wait for it for ever, since they take a timeout for `block`",
    "not fixed in Paddle 3.3 (io/dataloader/worker.py)",
)
def data_workers_end_with_the_trainer():
    from paddle.io.dataloader import dataloader_iter

    def end_with_the_parent(original, *args, **kwargs):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        original(*args, **kwargs)

    _wrap(dataloader_iter, "_worker_loop", end_with_the_parent)


@_repair(
    True,
    "every epoch with data workers leaves its pipes open, in reference cycles that are seldom collected",
    "not fixed in Paddle 3.3 (io/dataloader/dataloader_iter.py)",
)
def pipes_of_the_last_epoch():
    from paddle.io.dataloader import dataloader_iter

    def close_them_first(original, self, *args):
        gc.collect()
        original(self, *args)

    _wrap(dataloader_iter._DataLoaderIterMultiProcess, "__init__", close_them_first)


@_repair(
    PADDLE >= (3, 0),
    "on a CPU, Paddle Inference cannot place single operators on oneDNN (ConvertPirAttribute2RuntimeAttribute) and "
    "knows no memory_optimize_pass, so that PaddleSeg's deploy script fails",
    "not fixed in Paddle 3.3 (paddle.inference)",
)
def inference_on_a_cpu():
    from paddle.inference import Config

    def without_placement(original, self, *args):
        original(self, *args)
        # what Paddle's other passes fused around convolutions still runs on oneDNN
        self.delete_pass("onednn_placement_pass")

    def on_gpu_only(original, self, *args):
        if self.use_gpu():
            original(self, *args)

    _wrap(Config, "__init__", without_placement)
    _wrap(Config, "enable_memory_optim", on_gpu_only)


@_repair(
    True,
    "paddle.save writes in place: a run that is killed meanwhile leaves half a checkpoint, and none of the old one",
    "not fixed in Paddle 3.3 (framework/io.py)",
)
def whole_checkpoints():
    from paddleseg_ext.files import replacing

    def save_whole(original, obj, path, *args, **kwargs):
        if not isinstance(path, (str, os.PathLike)):
            return original(obj, path, *args, **kwargs)
        with replacing(path) as partial:
            original(obj, partial, *args, **kwargs)

    _wrap(paddle, "save", save_whole)


@_repair(
    True,
    "paddle.load calls any function that a checkpoint names",
    "not fixed in Paddle 3.3 (framework/io.py)",
)
def checkpoints_without_code():
    from paddle.framework import io

    from paddleseg_ext.weights.paddle_file import read_pickle

    io.pickle = SimpleNamespace(**{**vars(io.pickle), "load": read_pickle})


@_repair(
    True,
    "a resumed run forgets the best score and the averaged weights, draws other batches, and a loss that is not a "
    "number goes unnoticed",
    "not fixed in develop of October 2024 (core/train.py)",
)
def training_run():
    from paddleseg.utils import logger, utils

    from paddleseg_ext import trainer

    def remember(original, seed=None):
        trainer.TrainingRun.seed = seed
        original(seed)

    try:
        trainer.patch()
    except RuntimeError as error:  # another PaddleSeg than those known: everything else still works
        logger.warning(f"{error}: interrupted runs go on as PaddleSeg has them")
        return
    _wrap(utils, "set_seed", remember)
