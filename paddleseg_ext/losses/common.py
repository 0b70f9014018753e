"""What the losses share: float32 under mixed precision, and shapes that fit."""

from __future__ import annotations

import functools
from collections.abc import Callable

import paddle

from paddleseg_ext.layers.basic import at_least_float32


def without_amp(loss: Callable) -> Callable:
    """`loss` computed as written: AMP would run sums in float16, which overflows beyond 65504 pixels."""

    @functools.wraps(loss)
    def computed(*args, **kwargs):
        with paddle.amp.auto_cast(enable=False):
            return loss(*args, **kwargs)

    return computed


@without_amp
def losses_in_float32(logits_list: list, losses: dict, data: dict) -> list[paddle.Tensor]:
    """A network's `loss_computation`, which PaddleSeg's trainer prefers to its own: the same in float32.

    PaddleSeg's losses are then as safe under mixed precision as the ones here, which are so in any network.

    Args:
        logits_list: the network's outputs, tensors or tuples of tensors, one for each loss.
        losses: ``{"types": [...], "coef": [...]}``.
        data: the batch, with "label" and, for losses that take boundary labels, "edge".

    Raises:
        ValueError: a loss of boundary labels in a `MixedLoss`, which hands its members those of the classes.
    """
    from paddleseg.core.train import loss_computation

    for index, loss in enumerate(losses["types"]):
        if any(getattr(member, "edge_label", False) for member in getattr(loss, "losses", ())):
            raise ValueError(
                f"loss.types[{index}]: EdgeLabelBCELoss in a MixedLoss, which gives it the classes for boundary "
                "labels: make it the loss of its own output"
            )
    edges = data["edge"].astype("int64") if "edge" in data else None
    return loss_computation(_in_float32(logits_list), data["label"].astype("int64"), edges, losses)


def _in_float32(logits):
    return tuple(map(_in_float32, logits)) if isinstance(logits, (tuple, list)) else at_least_float32(logits)


def check_shapes(logits: paddle.Tensor, labels: paddle.Tensor, channels: int | None = None) -> None:
    """Raises ValueError unless logits (N, C, H, W) and labels (N, H, W) go together, and C is `channels` if given."""
    n, *size = labels.shape
    c = channels or logits.shape[1]
    if list(logits.shape) != [n, c, *size]:
        raise ValueError(
            f"logits have the shape {list(logits.shape)}, labels {list(labels.shape)}; "
            f"expected (N, {channels or 'C'}, H, W) and (N, H, W)"
        )


def check_class_logits(logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
    """`integer_labels`; raises ValueError unless logits (N, K, H, W) of two classes or more go with them."""
    labels = integer_labels(labels)
    check_shapes(logits, labels)
    if logits.shape[1] < 2 or 0 in logits.shape:  # of an empty batch Paddle's gradients end the process
        raise ValueError(f"logits have the shape {list(logits.shape)}; expected two classes or more, and some pixels")
    return labels


def integer_labels(labels: paddle.Tensor) -> paddle.Tensor:
    """Labels as int64, which alone all of Paddle's operations take; raises ValueError unless they are integers."""
    if labels.dtype not in (paddle.int64, paddle.int32, paddle.int16, paddle.int8, paddle.uint8):
        raise ValueError(f"labels are {labels.dtype}; expected integers, as of labels.astype('int64')")
    return labels if labels.dtype == paddle.int64 else labels.astype("int64")


def set_steps(losses: dict, iteration: int) -> None:
    """Set the counters (`steps`) of losses that have one, in a `MixedLoss` too: checkpoints do not hold them.

    Args:
        losses: PaddleSeg's, ``{"types": [...], "coef": [...]}``.
        iteration: iterations done before.
    """
    for loss in losses["types"]:
        for member in members(loss):
            if hasattr(member, "steps"):
                member.steps.set_value(paddle.full([], iteration, "int64"))


def members(loss: paddle.nn.Layer) -> list[paddle.nn.Layer]:
    """The losses that a `MixedLoss` adds up, which `loss.sublayers()` does not find; of another loss itself."""
    return getattr(loss, "losses", [loss])
