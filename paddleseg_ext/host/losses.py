"""Fixes of PaddleSeg's losses."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F

from paddleseg_ext.command import UserError
from paddleseg_ext.host.registry import PADDLESEG_BEFORE_2_9, repair, replace, wrap


@repair(
    needed=False,
    reason=(
        "OhemCrossEntropyLoss sorts every pixel, waits for the device to count them, and in 2.8 on Paddle 3 adds integers "
        "to floats as soon as it has pixels to choose from"
    ),
    upstream="the last of the three fixed in PaddleSeg 2.9 (models/losses/ohem_cross_entropy_loss.py)",
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

    replace(OhemCrossEntropyLoss, "forward", forward)


@repair(
    needed=False,
    reason="BCELoss with edge_label says that None has no shape where the data set has no boundary labels",
    upstream="not fixed in develop of October 2024 (core/train.py)",
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

    wrap(BCELoss, "forward", told)


@repair(
    needed=False,
    reason="DiceLoss writes class 0 over the ignored pixels of the label that the other losses learn from",
    upstream="not fixed in develop of October 2024 (models/losses/dice_loss.py)",
)
def dice_loss_on_its_own_labels():
    from paddleseg.models.losses import DiceLoss

    def on_a_copy(original, self, logits, labels):
        return original(self, logits, labels.clone())

    wrap(DiceLoss, "forward", on_a_copy)


@repair(
    needed=False,
    reason="the Lovasz losses crash (Paddle 2.6: SIGSEGV) or return an empty loss when every pixel is ignored",
    upstream="not fixed in develop of October 2024 (models/losses/lovasz_loss.py)",
)
def lovasz_of_nothing():
    from paddleseg.models.losses import LovaszHingeLoss, LovaszSoftmaxLoss

    def zero_of_nothing(original, self, logits, labels):
        if self.ignore_index is not None and not (labels != self.ignore_index).any():
            return logits.sum() * 0.0
        return original(self, logits, labels)

    for loss in (LovaszHingeLoss, LovaszSoftmaxLoss):
        wrap(loss, "forward", zero_of_nothing)


@repair(
    needed=PADDLESEG_BEFORE_2_9,
    reason="SECrossEntropyLoss squeezes axis 3 of what has three axes left: 4-D logits fail",
    upstream="not fixed in develop of October 2024 (models/losses/semantic_encode_cross_entropy_loss.py)",
)
def se_cross_entropy_of_4d_logits():
    from paddleseg.models.losses import SECrossEntropyLoss

    def of_2d_logits(original, self, logit, label):
        return original(self, logit.flatten(1) if logit.ndim == 4 else logit, label)

    wrap(SECrossEntropyLoss, "forward", of_2d_logits)
