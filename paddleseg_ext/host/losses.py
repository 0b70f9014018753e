"""Fixes of PaddleSeg's losses."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddleseg.models import losses

from paddleseg_ext.command import UserError
from paddleseg_ext.host.patching import replace, rewrite, wrap
from paddleseg_ext.host.registry import PADDLE_3, PADDLESEG_BEFORE_2_9, repair


@repair(
    "SECrossEntropyLoss squeezes axis 3 of what has three axes left: ValueError with 4-D logits",
    "not fixed in develop of October 2024 (models/losses/semantic_encode_cross_entropy_loss.py)",
    needed=PADDLESEG_BEFORE_2_9,
)
def se_cross_entropy_of_4d_logits():
    rewrite(losses.SECrossEntropyLoss.forward, ("logit.squeeze(2).squeeze(3)", "logit.flatten(1)"))


@repair(
    "DiceLoss writes class 0 over the ignored pixels of the label that the other losses learn from; after one "
    "of them, Paddle 3 raises RuntimeError: tensor_version != wrapper_version_snapshot",
    "not fixed in develop of October 2024 (models/losses/dice_loss.py)",
    needed=PADDLESEG_BEFORE_2_9 and PADDLE_3,
)
def dice_loss_on_its_own_labels():
    rewrite(
        losses.DiceLoss.forward,
        (
            "labels[labels == self.ignore_index] = 0",
            "labels = paddle.where(labels == self.ignore_index, paddle.zeros_like(labels), labels)",
        ),
    )


@repair(
    "the Lovasz losses crash (Paddle 2.6: SIGSEGV) or return an empty loss when every pixel is ignored",
    "not fixed in develop of October 2024 (models/losses/lovasz_loss.py)",
)
def lovasz_of_nothing():
    def zero_of_nothing(original, self, logits, labels):
        if self.ignore_index is not None and not (labels != self.ignore_index).any():
            return (logits * 0.0).sum()
        return original(self, logits, labels)

    for loss in (losses.LovaszHingeLoss, losses.LovaszSoftmaxLoss):
        wrap(loss, "forward", zero_of_nothing)


@repair(
    "OhemCrossEntropyLoss sorts every pixel and waits for the device to count them",
    "not fixed in develop of October 2024 (models/losses/ohem_cross_entropy_loss.py)",
)
def ohem_cross_entropy_on_the_device():
    module = losses.ohem_cross_entropy_loss
    if getattr(module, "_IS_NPU", False) or getattr(module, "_IS_MLU", False):
        return  # 2.9 has its own code for them

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
        # PaddleSeg's quotient of means, which on a CPU are half a percent off for four million pixels
        with paddle.amp.auto_cast(enable=False):  # where so large a sum is infinite
            return (loss * kept).sum() / (kept.sum() + self.EPS * kept.size)

    replace(losses.OhemCrossEntropyLoss, "forward", forward)


@repair(
    "BCELoss with edge_label says that None has no shape where the data set has no boundary labels",
    "not fixed in develop of October 2024 (core/train.py)",
)
def bce_without_edges():
    def with_the_fix(original, self, logit, label):
        if label is None:
            raise UserError(
                "BCELoss with edge_label: the data set gives no boundary labels: add `- type: AddEdgeLabel` to the "
                "front of train_dataset.transforms"
            )
        return original(self, logit, label)

    wrap(losses.BCELoss, "forward", with_the_fix)
