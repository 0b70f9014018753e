"""What the losses share: float32 under mixed precision, and shapes that fit."""

from __future__ import annotations

import functools
from collections.abc import Callable

import paddle


def without_amp(loss: Callable) -> Callable:
    """`loss` computed as written: AMP would run sums in float16, where more than 65504 pixels are infinitely many."""

    @functools.wraps(loss)
    def computed(*args, **kwargs):
        with paddle.amp.auto_cast(enable=False):
            return loss(*args, **kwargs)

    return computed


def at_least_float32(logits: paddle.Tensor) -> paddle.Tensor:
    """Half precision overflows in sums over all pixels."""
    return logits if logits.dtype == paddle.float64 else logits.astype("float32")


def check_shapes(logits: paddle.Tensor, labels: paddle.Tensor, channels: int | None = None) -> None:
    """Raises ValueError unless logits (N, C, H, W) and labels (N, H, W) go together, and C is `channels` if given."""
    n, *size = labels.shape
    c = channels or logits.shape[1]
    if list(logits.shape) != [n, c, *size]:
        raise ValueError(
            f"logits have the shape {list(logits.shape)}, labels {list(labels.shape)}; "
            f"expected (N, {channels or 'C'}, H, W) and (N, H, W)"
        )


def check_class_logits(logits: paddle.Tensor, labels: paddle.Tensor) -> None:
    """Raises ValueError unless logits (N, K, H, W) of two classes or more go with integer labels (N, H, W)."""
    check_labels(labels)
    check_shapes(logits, labels)
    if logits.shape[1] < 2:
        raise ValueError(f"logits have the shape {list(logits.shape)}: one class; expected two or more")


def check_labels(labels: paddle.Tensor) -> None:
    """Raises ValueError unless labels are integers."""
    if labels.dtype not in (paddle.int64, paddle.int32, paddle.int16, paddle.int8, paddle.uint8):
        raise ValueError(f"labels are {labels.dtype}; expected integers, as of labels.astype('int64')")
