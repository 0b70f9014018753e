"""Labels to boundary maps, on the labels' own device.

The boundary is a band of pixels around every change of class. A change lies between two pixels, so the band takes
equally many on either side of it. With its default width it is the target that the official SANet
(https://arxiv.org/abs/2309.10519) trains on, there made by Canny(0.1, 0.2) and dilation by a 4×4 square: the
intersection over union of the two over CamVid's 701 label maps is 0.90, void counted as a class in both, as Canny does.
"""

from __future__ import annotations

import functools

import paddle
import paddle.nn.functional as F

__all__ = ["binary_boundary", "class_boundary"]

DEFAULT_WIDTH = 4
NO_LABEL = -(2**31)
FAR = float(2**26)  # a squared distance that no image has


def binary_boundary(labels: paddle.Tensor, width: int = DEFAULT_WIDTH, ignore_index: int = 255) -> paddle.Tensor:
    """Marks the pixels that have a pixel of another class in their neighbourhood.

    The neighbourhood is a square that reaches `width` / 2 pixels (rounded up) to each side. Ignored pixels are never
    marked and mark no others; nor does the image's frame.

    Args:
        labels: integers (N, H, W).
        width: thickness of the band in pixels; an odd one counts as the next even one.
        ignore_index: the label that means nothing.

    Returns:
        bool (N, H, W).

    Raises:
        ValueError: labels of another shape, or a `width` below 1.
    """
    if labels.ndim != 3:
        raise ValueError(f"labels have the shape {list(labels.shape)}; expected (N, H, W)")
    if width < 1:
        raise ValueError(f"width is {width}; expected at least 1 pixel")
    reach = (width + 1) // 2
    valid = labels != ignore_index
    values = labels.astype("float32")
    never = paddle.full_like(values, float("-inf"))
    highest = _window_max(paddle.where(valid, values, never), reach)
    lowest = -_window_max(paddle.where(valid, -values, never), reach)
    return valid & (highest != lowest)


def class_boundary(
    labels: paddle.Tensor, num_classes: int, width: int = DEFAULT_WIDTH, ignore_index: int = 255
) -> paddle.Tensor:
    """For each class c the pixels of c inside the band of `binary_boundary`, whose arguments are the same.

    Returns:
        bool (N, num_classes, H, W).

    Raises:
        ValueError: see `binary_boundary`.
    """
    band = binary_boundary(labels, width, ignore_index).unsqueeze(1)
    classes = paddle.arange(num_classes).reshape([1, num_classes, 1, 1])
    return (labels.astype("int64").unsqueeze(1) == classes) & band


def changes(labels: paddle.Tensor, ignore_index: int = 255) -> paddle.Tensor:
    """Where `ActiveBoundaryLoss` sees a boundary: pixels unlike their lower or right neighbour, and ignored ones.

    Args:
        labels: integers (N, H, W).
        ignore_index: the label that means nothing.

    Returns:
        bool (N, H, W).
    """
    narrow = labels.astype("int32")
    lower = paddle.concat([narrow[:, 1:], narrow[:, -1:]], axis=1)
    right = paddle.concat([narrow[:, :, 1:], narrow[:, :, -1:]], axis=2)
    return (narrow != lower) | (narrow != right) | (labels == ignore_index)


def rims(labels: paddle.Tensor) -> paddle.Tensor:
    """The pixels whose upper, lower, left or right neighbour has another label or is outside of the image.

    Args:
        labels: integers (N, H, W).

    Returns:
        bool (N, H, W).
    """
    labels = labels.astype("int32")
    n, height, width = labels.shape
    column, row = paddle.full([n, 1, width], NO_LABEL, "int32"), paddle.full([n, height, 1], NO_LABEL, "int32")
    tall, wide = paddle.concat([column, labels, column], axis=1), paddle.concat([row, labels, row], axis=2)
    others = tall[:, :-2], tall[:, 2:], wide[:, :, :-2], wide[:, :, 2:]
    return functools.reduce(paddle.logical_or, [labels != other for other in others])


def squared_distances(
    marks: paddle.Tensor, places: tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor] | None = None, exact: int = 22
) -> paddle.Tensor:
    """The squared Euclidean distance of pixels to the nearest marked one of their image.

    Exact up to `exact` pixels (and 4096 at most, for float32). Further away it may be too long where isolated marks
    are nearest, which no pixel was in label maps of blocks and 1 in 1000 was among randomly marked pixels.

    Columns are measured first, by doubled steps. Rows then look for the best column: by jump flooding (Rong and Tan,
    "Jump flooding in GPU with applications to Voronoi diagram and distance transform", 2006), whose cost does not
    depend on the distances, and, for the pixels asked for, all columns up to `exact` pixels away, one by one.

    Args:
        marks: bool (N, H, W).
        places: of P patches of R rows and C columns the images (P, 1, 1), the rows (P, R, 1) and the columns
            (P, 1, C), these one after another; None is all pixels. Outside of an image the result means nothing.

    Returns:
        float32 (P, R, C), or (N, H, W), of whole numbers; `FAR` or more in an image without a mark.
    """
    n, height, width = marks.shape
    if places is None:
        rows = paddle.arange(height).reshape([1, height, 1]).expand([n, height, 1])
        places = paddle.arange(n).reshape([n, 1, 1]), rows, paddle.arange(width).reshape([1, 1, width])
    # shifts are along the first axis, where a shifted map is one piece of memory
    column = (FAR**0.5 * (~marks).astype("float32")).transpose([1, 0, 2]).reshape([height, n * width])
    for step in _powers_of_two(height):
        column = paddle.minimum(column, paddle.minimum(*_shifted(column, step)) + step)
    squared = column.square().reshape([height, n, width]).transpose([2, 1, 0]).reshape([width, n * height])
    return _nearest_of_row(_jump_flooding(squared), squared, n, places, min(exact, width - 1))


def _jump_flooding(squared: paddle.Tensor) -> paddle.Tensor:
    """The least of `squared` + (its distance along the first axis)² that is found by jumping: (L, M) to (L, M)."""
    here = paddle.arange(squared.shape[0], dtype="float32").unsqueeze(1).expand_as(squared) + 0  # whole, not a view
    best, site, place = squared, squared, here  # of the best known: the sum, the term, where it is
    for step in reversed(_powers_of_two(squared.shape[0])):
        for other, other_place in zip(_shifted(site, step), _shifted(place, step)):
            distance = other + (here - other_place).square()
            better = distance < best
            best = paddle.minimum(distance, best)
            site, place = paddle.where(better, other, site), paddle.where(better, other_place, place)
    return best


def _nearest_of_row(best: paddle.Tensor, squared: paddle.Tensor, n: int, places: tuple, exact: int) -> paddle.Tensor:
    """`best` or, where it is less, `squared` + distance² of a column up to `exact` away: (W, N · H) to (P, R, C)."""
    picture, rows, columns = places
    width, lines = squared.shape
    patches, reach, count = rows.shape[0], rows.shape[1], columns.shape[2]
    height = lines // n
    line = (picture * height + rows.clip(0, height - 1)).squeeze(-1).transpose([1, 0])
    # a column outside stands for its nearest one inside, which is nearer than that and looked at as well
    wide = paddle.arange(-exact, count + exact).unsqueeze(1) + columns[:, 0, :1].transpose([1, 0])
    index = (wide.clip(0, width - 1).unsqueeze(1) * lines + line).reshape([count + 2 * exact, reach * patches])
    best = best.flatten().gather(index[exact : exact + count].flatten()).reshape([count, reach * patches])
    terms = squared.flatten().gather(index.flatten()).reshape(index.shape)
    for step in range(1, exact + 1):
        before, after = terms[exact - step : exact - step + count], terms[exact + step : exact + step + count]
        best = paddle.minimum(best, paddle.minimum(before, after) + step**2)
    return best.reshape([count, reach, patches]).transpose([2, 1, 0])


def _powers_of_two(side: int) -> list[int]:
    """1, 2, 4, ... below `side`."""
    return [2**k for k in range((side - 1).bit_length())]


def _shifted(maps: paddle.Tensor, step: int) -> tuple[paddle.Tensor, paddle.Tensor]:
    """What is `step` before and after each value along the first axis, `FAR` outside: maps (L, M) twice."""
    outside = paddle.full([step, maps.shape[1]], FAR)
    return paddle.concat([outside, maps[:-step]]), paddle.concat([maps[step:], outside])


def _window_max(values: paddle.Tensor, reach: int) -> paddle.Tensor:
    """The maximum over the square that reaches `reach` pixels to each side, rows first, then columns: (N, H, W)."""
    side = 2 * reach + 1
    rows = F.max_pool2d(values.unsqueeze(1), (1, side), stride=1, padding=(0, reach))
    return F.max_pool2d(rows, (side, 1), stride=1, padding=(reach, 0)).squeeze(1)
