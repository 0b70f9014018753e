"""Predicted boundaries move towards the true ones: the active boundary loss (Wang et al., AAAI 2022).

Legend: N images, K classes, P pixels from which a predicted boundary is grown, 3×3 each.
"""

from __future__ import annotations

import math

import paddle
import paddle.nn.functional as F
from paddle import nn
from paddleseg.cvlibs import manager

from paddleseg_ext.boundary import FAR, changes, squared_distances
from paddleseg_ext.layers.basic import at_least_float32
from paddleseg_ext.losses.common import check_class_logits, without_amp

# (down, right); of equally good ones the first is taken, and a pixel stays only where that is better than to move
DIRECTIONS = ((1, 0), (-1, 0), (0, -1), (0, 1), (-1, 1), (1, 1), (-1, -1), (1, -1), (0, 0))
STAY = 8
STRIP = 2**19  # logits at a time: temporary copies that stay in a processor's cache, and small beside the logits
MAX_DISTANCE = 20  # pixels; what is further away pulls no harder


@without_amp
def active_boundary(logits: paddle.Tensor, labels: paddle.Tensor, ignore_index: int = 255) -> paddle.Tensor:
    """The active boundary loss of main logits against labels; see `ActiveBoundaryLoss`.

    Only the pixels around predicted boundaries are looked at, 5×5 around each of P, a number that the image's size
    fixes: no shape depends on values, nothing goes to the host, and the work beside finding them does not grow with N.

    Args:
        logits: (N, K, H, W).
        labels: integers (N, H, W).
        ignore_index: the label that means nothing; such pixels count as boundary.

    Returns:
        A scalar; 0 for a batch without a predicted boundary that could move.
    """
    logits = at_least_float32(logits)
    n, k, h, w = logits.shape
    last = logits.transpose([0, 2, 3, 1])  # the classes: several times as fast on a CPU
    divergence = neighbour_divergence(last.detach())
    pixels = last.reshape([-1, k])
    strongest, places = paddle.topk(divergence.flatten(), h * w // 100 + 1, sorted=False)
    threshold = boundary_threshold(strongest)
    predicted = (strongest > threshold).reshape([-1, 1, 1])
    # a pixel that belongs to several 3×3 counts once altogether
    overlap = F.avg_pool2d((divergence > threshold).astype(logits.dtype).unsqueeze(1), 3, 1, 1, exclusive=False) * 9

    picture, place = places // (h * w), places % (h * w)
    around = paddle.arange(-2, 3)
    picture = picture.reshape([-1, 1, 1])
    rows = (place // w).reshape([-1, 1, 1]) + around.reshape([1, 5, 1])
    columns = (place % w).reshape([-1, 1, 1]) + around
    inside = (rows >= 0) & (rows < h) & (columns >= 0) & (columns < w)
    squared = squared_distances(changes(labels, ignore_index), (picture, rows, columns))
    rows, columns = rows.clip(0, h - 1), columns.clip(0, w - 1)  # the outermost pixels are repeated outside
    around = (picture * h + rows) * w + columns  # of each of P, the places of 5×5 pixels

    def values(maps: paddle.Tensor, places: paddle.Tensor) -> paddle.Tensor:  # of (N · H · W, ...)
        return maps.gather(places.flatten()).reshape([*places.shape, *maps.shape[1:]])

    def neighbour(patch: paddle.Tensor, direction: tuple[int, int]) -> paddle.Tensor:  # (P, 5, 5, ...): (P, 3, 3, ...)
        down, right = direction
        return patch[:, 1 + down : 4 + down, 1 + right : 4 + right]

    whole = paddle.floor(paddle.sqrt(squared + 0.5))  # whole pixels, 1 beside a boundary, which is as good as on it
    whole = paddle.where(inside, whole.clip(min=1), paddle.full_like(whole, FAR)).astype("int64")
    order = [neighbour(whole, direction) * 9 + index for index, direction in enumerate(DIRECTIONS)]
    direction = paddle.stack(order, axis=-1).min(axis=-1) % 9
    distance = neighbour(whole, (0, 0))
    has_boundary = distance < math.isqrt(int(FAR)) // 2  # half: square roots may be a rounding off
    moves = predicted & neighbour(inside, (0, 0)) & (direction != STAY) & has_boundary

    # KL(p_j ‖ p_i) = Σ p_j log p_j − Σ p_j log p_i, the second sum for all pairs of a patch by one matrix product
    fixed = F.log_softmax(values(pixels.detach(), around), axis=-1)
    p = paddle.exp(fixed)
    here = F.log_softmax(values(pixels, neighbour(around, (0, 0))), axis=-1)
    of_neighbour = (p * fixed).sum(axis=-1).reshape([-1, 1, 25])
    between = paddle.matmul(here.reshape([-1, 9, k]), p.reshape([-1, 25, k]), transpose_y=True)
    scores = (of_neighbour - between).reshape([-1, 9 * 25]).index_select(_neighbours(), axis=1)
    entropy = F.cross_entropy(scores.reshape([-1, 3, 3, STAY]), direction % STAY, reduction="none").squeeze(-1)

    share = moves.astype(logits.dtype) / values(overlap.flatten(), neighbour(around, (0, 0))).clip(min=1)
    pull = (distance - 1).clip(max=MAX_DISTANCE).astype(logits.dtype) / MAX_DISTANCE
    return (share * pull * entropy).sum() / share.sum().clip(min=1)


def neighbour_divergence(logits: paddle.Tensor) -> paddle.Tensor:
    """KL(p_i ‖ p_lower) + KL(p_i ‖ p_right) of each pixel's class probabilities: (N, H, W, K) to (N, H, W).

    A neighbour outside of the image adds 0.
    """
    n, h, w, k = logits.shape
    logits, size = logits.reshape([-1, k]), n * h * w
    step = min(max(w, STRIP // k), size)
    lower, right = [], []
    for start in range(0, size, step):
        strip = logits[start : start + step + w]
        missing = step + w - strip.shape[0]
        if missing > 0:
            strip = paddle.concat([strip, strip[-1:].expand([missing, k])])
        strip = strip - strip.max(axis=-1, keepdim=True)  # softmax by hand: what it has in between serves twice
        p = paddle.exp(strip)
        total = p.sum(axis=-1, keepdim=True)
        log_p = strip - paddle.log(total)
        p, total = p[:step], total[:step].squeeze(-1)
        own = (p * log_p[:step]).sum(axis=-1)
        lower.append((own - (p * log_p[w : w + step]).sum(axis=-1)) / total)
        right.append((own - (p * log_p[1 : 1 + step]).sum(axis=-1)) / total)
    # what follows the last column is another row, what follows the last row another image
    lower, right = (paddle.concat(strips)[:size].reshape([n, h, w]) for strips in (lower, right))
    lower = paddle.concat([lower[:, : h - 1], paddle.zeros([n, 1, w], lower.dtype)], axis=1)
    return lower + paddle.concat([right[:, :, : w - 1], paddle.zeros([n, h, 1], right.dtype)], axis=2)


def _neighbours() -> paddle.Tensor:
    """Of the pairs of a pixel of the inner 3×3 and one of the 5×5, those of neighbours: pixel by pixel, in order.

    Computed on the device: a list of numbers would be copied to it, and the device waited for.
    """
    inner = paddle.arange(9)
    itself = 25 * inner + 5 * (inner // 3 + 1) + inner % 3 + 1
    return paddle.stack([itself + (5 * down + right) for down, right in DIRECTIONS[:STAY]], axis=1).flatten()


def boundary_threshold(strongest: paddle.Tensor) -> paddle.Tensor:
    """The first of 1e-5 · 1.2^n, n = 0, 1, ..., that all but the largest of these divergences fit under.

    Args:
        strongest: one more of the largest divergences than may be above the threshold.
    """
    steps = paddle.ceil(paddle.log(strongest.min().astype("float64").clip(min=1e-5) / 1e-5) / math.log(1.2))
    return (1e-5 * 1.2**steps).astype(strongest.dtype)


@manager.LOSSES.add_component
class ActiveBoundaryLoss(nn.Layer):
    """`active_boundary` of main logits: moves predicted boundaries towards the true ones.

    With p the class probabilities and D(i) = KL(p_i ‖ p_lower) + KL(p_i ‖ p_right), predicted boundary is where D is
    above the first of 1e-5 · 1.2^n that at most H · W / 100 pixels of the batch are above, and the 3×3 around. Each
    such pixel i that has a neighbour j* not further from a true boundary than itself pays

        min(d_i, 20) / 20 · −log( exp KL(p_j* ‖ p_i) / Σ_j exp KL(p_j ‖ p_i) ),   j: its eight neighbours,

    on average over these pixels. d is the distance to the nearest true boundary less 1, in whole pixels; the p_j take
    no gradient. True boundaries are the changes of the labels, ignored pixels included (`changes` in
    `paddleseg_ext.boundary`); an image without any has nothing to move to and takes no part.

    Source: Wang et al., "Active Boundary Loss for Semantic Segmentation", AAAI 2022
    (https://arxiv.org/abs/2102.02696), there with label smoothing, here without.

    When to use: beside a loss of regions (cross entropy), for any network, as it needs the main logits alone. Early in
    training from scratch predicted boundaries are noise: let the weight grow with `ramp_iters`, or start from weights.
    Weight: 1, the authors'.

    Args:
        ramp_iters: the loss is multiplied by min(t / ramp_iters, 1), t = 0, 1, ... being its training steps so far; 0
            is no ramp. Checkpoints do not hold losses: `tools/train.py` tells them the iteration when it resumes;
            PaddleSeg's own trainer does not, and the ramp begins again.
        ignore_index: the label that means nothing.

    Raises:
        ValueError: `ramp_iters` is negative; labels that are not integers or not of the logits' size; one class.
    """

    def __init__(self, ramp_iters: int = 0, ignore_index: int = 255):
        super().__init__()
        if ramp_iters < 0:
            raise ValueError(f"ramp_iters is {ramp_iters}; expected 0 (no ramp) or a number of iterations")
        self.ramp_iters = ramp_iters
        self.ignore_index = ignore_index
        self.register_buffer("steps", paddle.zeros([], dtype="int64"))  # on the device, and to_static's too

    def forward(self, logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """logits (N, K, H, W), labels (N, H, W)."""
        loss = active_boundary(logits, check_class_logits(logits, labels), self.ignore_index)
        if self.ramp_iters == 0:
            return loss
        weight = (self.steps.astype(loss.dtype) / self.ramp_iters).clip(max=1)
        if self.training:
            paddle.assign(self.steps + 1, self.steps)
        return loss * weight
