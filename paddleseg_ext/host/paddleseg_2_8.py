"""What PaddleSeg 2.8 needs to run.

2.8.0, the newest on PyPI, was written for Paddle 2.4: before 0-D tensors (2.5) and before Paddle refused to mix
integers with floats (3.0).
"""

from __future__ import annotations

import sys

import paddle
from packaging.version import Version

from paddleseg_ext.host.registry import PADDLE, PADDLESEG_BEFORE_2_9, repair, replace, wrap


@repair(
    needed=PADDLESEG_BEFORE_2_9 and PADDLE >= Version("2.5"),
    reason="the trainer's log indexes its losses, which are 0-D since Paddle 2.5: too many indices",
    upstream="fixed in PaddleSeg 2.9 (core/train.py)",
)
def losses_with_an_axis():
    from paddleseg.models.maskformer import MaskFormer

    def with_an_axis(original, *args, **kwargs):
        return [loss.reshape([1]) if loss.ndim == 0 else loss for loss in original(*args, **kwargs)]

    # `paddleseg.core.train` is the function, which hides its module
    wrap(sys.modules["paddleseg.core.train"], "loss_computation", with_an_axis)
    wrap(MaskFormer, "loss_computation", with_an_axis)


@repair(
    needed=PADDLESEG_BEFORE_2_9 and PADDLE >= Version("2.5"),
    reason="the areas per class are 0-D since Paddle 2.5 and cannot be concatenated",
    upstream="fixed in PaddleSeg 2.9 (utils/metrics.py)",
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
    replace(metrics, "calculate_area", calculate_area)


@repair(
    needed=PADDLESEG_BEFORE_2_9,
    reason=(
        "CrossEntropyLoss multiplies floats by integers (refused by Paddle 3), and with `weight` and "
        "`avg_non_ignore=False` takes the one-hot of the ignored label"
    ),
    upstream="fixed in PaddleSeg 2.9 (models/losses/cross_entropy_loss.py)",
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

    replace(CrossEntropyLoss, "_post_process_loss", post_process)


@repair(
    needed=PADDLESEG_BEFORE_2_9 and PADDLE >= Version("3.0"),
    reason="BCELoss with weight='dynamic' multiplies floats by integer labels",
    upstream="fixed in PaddleSeg 2.9 (models/losses/binary_cross_entropy_loss.py)",
)
def bce_dynamic_weight():
    from paddleseg.models.losses import BCELoss

    def with_float_labels(original, self, logit, label):
        channels = label.shape[1] if label.ndim == logit.ndim else 1
        if channels == logit.shape[1]:  # otherwise the labels are classes, still to be made one-hot
            label = label.astype("float32")
        return original(self, logit, label)

    wrap(BCELoss, "forward", with_float_labels)


@repair(
    needed=PADDLESEG_BEFORE_2_9,
    reason="there is no AddEdgeLabel, which draws the boundary labels that BCELoss with edge_label takes",
    upstream="there since PaddleSeg 2.9 (transforms/transforms.py)",
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
