"""Overlap that counts more the nearer the boundary: the boundary difference over union loss (Sun et al., MICCAI 2023).

Legend: N images, K classes.
"""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import nn
from paddle.autograd import PyLayer
from paddleseg.cvlibs import manager

from paddleseg_ext.boundary import rims
from paddleseg_ext.layers.basic import at_least_float32
from paddleseg_ext.losses.common import check_class_logits, without_amp

SMOOTH = 1e-5  # the authors'
MAX_ALPHA = 0.8


@without_amp
def boundary_dou(logits: paddle.Tensor, labels: paddle.Tensor, ignore_index: int = 255) -> paddle.Tensor:
    """The boundary difference over union loss of main logits against labels; see `BoundaryDoULoss`.

    Args:
        logits: (N, K, H, W).
        labels: integers (N, H, W).
        ignore_index: the label that means nothing; such pixels count for nothing, and are another class to their
            neighbours.

    Returns:
        A scalar; 1, without a gradient, for a batch without a valid pixel.
    """
    logits = at_least_float32(logits)
    n, k, h, w = logits.shape
    place, flat = paddle.arange(n * h * w), labels.flatten().astype("int64")
    valid = flat != ignore_index
    known = valid & (flat >= 0) & (flat < k)
    flat = paddle.where(known, flat, paddle.zeros_like(flat))
    probabilities = _Probabilities.apply if paddle.in_dynamic_mode() else _probabilities
    squares, of_label = probabilities(logits, valid.unsqueeze(1).astype(logits.dtype), place * k + flat)

    # summed for each row first: exact, and few at a time write to one place
    ones, rim = paddle.ones_like(of_label), rims(labels).astype(of_label.dtype).flatten()
    counted = paddle.stack([ones, rim, of_label], axis=1) * known.astype(of_label.dtype).unsqueeze(1)
    rows = paddle.zeros([n * h * k, 3], of_label.dtype)
    rows = paddle.scatter(rows, place // w * k + flat, counted, overwrite=False)
    size, rim, both = paddle.unbind(rows.reshape([n * h, k, 3]).sum(axis=0), axis=1)

    alpha = (1 - 2 * (rim + SMOOTH) / (size + SMOOTH)).clip(max=MAX_ALPHA)
    union = size + squares + SMOOTH
    return ((union - 2 * both) / (union - (1 + alpha) * both)).mean()


def _probabilities(logits: paddle.Tensor, valid: paddle.Tensor, labels: paddle.Tensor):
    """Of the softmax p of logits: Σ p² of each class over the valid pixels, and p of each pixel's label.

    Args:
        logits: (N, K, H, W).
        valid: 0 or 1, (N · H · W, 1).
        labels: their places in p (N · H · W, K).
    """
    return _sums(_softmax(logits) * valid, logits.shape, labels)


def _sums(p: paddle.Tensor, shape: list[int], labels: paddle.Tensor):
    """What `_probabilities` returns of p, of logits of a `shape`.

    Rows are summed first: of all pixels at once, a CPU's sum and its matrix product are up to percents off.
    """
    n, k, h, w = shape
    return p.square().reshape([n * h, w, k]).sum(1).sum(0), p.flatten().gather(labels)


def _softmax(logits: paddle.Tensor) -> paddle.Tensor:
    """Classes last, where Paddle's takes a fraction of the time on a CPU: (N · H · W, K)."""
    return F.softmax(logits.transpose([0, 2, 3, 1]).reshape([-1, logits.shape[1]]), axis=-1)


class _Probabilities(PyLayer):
    """`_probabilities` in two thirds of the time, for eager mode: a static graph has no operations in place.

    With g = ∂loss/∂p the gradient is p_k (g_k − Σ_l p_l g_l), for which p is all that is kept. What can be is computed
    in place: on a CPU a fresh copy of the logits takes several times as long as the arithmetic.
    """

    @staticmethod
    @without_amp
    def forward(ctx, logits, valid, labels):
        p = _softmax(logits).multiply_(valid)
        ctx.save_for_backward(p, labels)
        ctx.shape = logits.shape
        return _sums(p, logits.shape, labels)

    @staticmethod
    @without_amp
    def backward(ctx, of_squares, of_label):
        p, labels = ctx.saved_tensor()
        n, k, h, w = ctx.shape
        g = (p * (2 * of_squares)).flatten()
        g = g.scatter_(labels, g.gather(labels) + of_label).reshape(p.shape)
        g = g.subtract_((p * g).sum(axis=1, keepdim=True)).multiply_(p)
        return g.reshape([n, h, w, k]).transpose([0, 3, 1, 2]), None, None


@manager.LOSSES.add_component
class BoundaryDoULoss(nn.Layer):
    """`boundary_dou` of main logits: the difference over the union, with less of the inside the larger a class is.

    With g the one-hot labels and p the class probabilities of the batch's valid pixels, for each class

        (G + P − 2 I) / (G + P − (1 + α) I),   G = Σ g², P = Σ p², I = Σ g p,   α = min(1 − 2 C / S, 0.8),

    S being the pixels of the class and C those of them beside another class or the frame (`paddleseg_ext.boundary.
    rims`); the mean over all K classes, of which absent ones are 1. α = −1 (all rim) gives a squared Dice loss, and the
    nearer α is to 1, the less the agreement inside of large regions hides the difference at their boundary.

    Source: Sun et al., "Boundary Difference Over Union Loss for Medical Image Segmentation", MICCAI 2023
    (https://arxiv.org/abs/2308.00220), equation 2 with the authors' 1e-5 in each quotient.

    When to use: beside cross entropy, for any network, as it needs the main logits alone; from the first iteration on.
    Where few of many classes are in a batch it is small beside them. Weight: 1, the authors'.

    Args:
        ignore_index: the label that means nothing.

    Raises:
        ValueError: labels that are not integers or not of the logits' size; one class.
    """

    def __init__(self, ignore_index: int = 255):
        super().__init__()
        self.ignore_index = ignore_index

    def forward(self, logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """logits (N, K, H, W), labels (N, H, W)."""
        return boundary_dou(logits, check_class_logits(logits, labels), self.ignore_index)
