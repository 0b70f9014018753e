"""How well a network draws boundaries: boundary IoU and boundary F-score, next to PaddleSeg's own evaluation.

Both are counted per class over a whole data set, at widths d in pixels:

- Boundary IoU (Cheng et al. 2021, https://arxiv.org/abs/2103.16562, eq. 2): the IoU of those parts of prediction and
  label that are within d pixels (along rows, columns or diagonals) of their own contours.
- Boundary F-score (Csurka et al. 2013): the harmonic mean of precision, the share of the predicted contour's pixels
  that are at most d pixels (Euclidean) away from the label's contour, and recall, the same the other way round.

Pixels that the label ignores have no class in the prediction either; neither they nor the image's frame make a
contour. A class that has no contour in prediction and label has the score nan and is left out of the mean.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
import paddle
from paddleseg.core import evaluate
from paddleseg.utils import metrics

from paddleseg_ext.boundary import binary_boundary
from paddleseg_ext.files import write_whole

DEFAULT_WIDTHS = (1, 2, 4)
NO_CLASS = -1


def evaluate_boundaries(
    model: paddle.nn.Layer,
    dataset: paddle.io.Dataset,
    class_names: Sequence[str],
    widths: Sequence[int] = DEFAULT_WIDTHS,
    **settings: Any,
) -> dict:
    """PaddleSeg's `evaluate`, with its usual output, and boundary quality from the same predictions.

    Args:
        model: a segmentation network.
        dataset: a validation set.
        class_names: of its classes.
        widths: whole numbers of pixels.
        **settings: PaddleSeg's for `evaluate` (`aug_eval`, `is_slide`, `num_workers`, ...).

    Returns:
        `classes` and `mean` with `iou`, `boundary_iou` and `boundary_f_score`, the latter two by width; beside them
        PaddleSeg's `mIoU`, `Acc` and `Kappa`.

    Raises:
        ValueError: more than one process, which would each see a part of the data set.
    """
    if paddle.distributed.ParallelEnv().nranks > 1:
        raise ValueError("boundary quality is measured by one process; start it without paddle.distributed.launch")
    quality = BoundaryQuality(dataset.num_classes, widths, dataset.ignore_index)
    with watched_predictions(quality.update):
        miou, acc, class_iou, _, kappa = evaluate(model, dataset, **settings)

    scores = {"boundary_iou": quality.iou(), "boundary_f_score": quality.f_score()}

    def by_width(values: np.ndarray) -> dict[str, float]:
        return {str(width): float(value) for width, value in zip(quality.widths, values)}

    return {
        "mIoU": float(miou),
        "Acc": float(acc),
        "Kappa": float(kappa),
        "mean": {"iou": float(miou), **{key: by_width(_mean(value)) for key, value in scores.items()}},
        "classes": {
            name: {"iou": float(class_iou[c]), **{key: by_width(value[:, c]) for key, value in scores.items()}}
            for c, name in enumerate(class_names)
        },
    }


def report_table(report: dict) -> tuple[list[str], list[list[str]]]:
    """A report as text: the header, and a row for each class and the mean; "-" is a class without any contour."""
    widths = list(report["mean"]["boundary_iou"])
    columns = [(key, width) for key in ("boundary_iou", "boundary_f_score") for width in widths]

    def row(name: str, scores: dict) -> list[str]:
        values = [scores["iou"], *(scores[key][width] for key, width in columns)]
        return [name, *("-" if math.isnan(value) else f"{value:.4f}" for value in values)]

    header = ["class", "iou", *(f"{key}_{width}px" for key, width in columns)]
    return header, [*(row(*item) for item in report["classes"].items()), row("mean", report["mean"])]


def write_report(report: dict, save_dir: str) -> tuple[str, str]:
    """Write `boundary.json` (nan is null) and `boundary.csv` into `save_dir`; returns their paths."""
    os.makedirs(save_dir, exist_ok=True)
    json_path, csv_path = (os.path.join(save_dir, f"boundary.{suffix}") for suffix in ("json", "csv"))
    write_whole(json_path, json.dumps(_nan_to_none(report), indent=2))
    table = io.StringIO()
    header, rows = report_table(report)
    csv.writer(table, lineterminator="\n").writerows([header, *rows])
    write_whole(csv_path, table.getvalue())
    return json_path, csv_path


class BoundaryQuality:
    """Counts, image by image, what boundary IoU and F-score are made of.

    Args:
        num_classes: K.
        widths: whole numbers of pixels, at least 1.
        ignore_index: the label that means nothing.

    Raises:
        ValueError: `widths` is empty, or one of them is not as above.
    """

    def __init__(self, num_classes: int, widths: Sequence[int] = DEFAULT_WIDTHS, ignore_index: int = 255):
        if not widths or any(width != int(width) or width < 1 for width in widths):
            raise ValueError(f"widths is {list(widths)}; expected whole numbers of pixels, at least 1")
        self.num_classes, self.widths, self.ignore_index = num_classes, sorted(set(widths)), ignore_index
        per_width = (len(self.widths), num_classes)
        self._bands = {key: np.zeros(per_width, np.int64) for key in ("both", "pred", "label")}
        self._near = {key: np.zeros(per_width, np.int64) for key in ("pred", "label")}
        self._contours = {key: np.zeros(num_classes, np.int64) for key in ("pred", "label")}

    def update(self, pred: paddle.Tensor, label: paddle.Tensor) -> None:
        """Count predicted and labelled classes, integers (N, H, W) or (N, 1, H, W)."""
        pred, label = (x.squeeze(1) if x.ndim == 4 else x for x in (pred.astype("int64"), label.astype("int64")))
        pred = paddle.where(label == self.ignore_index, label, pred)
        for row, width in enumerate(self.widths):
            pred_band, label_band = (self._near_boundary(x, width) for x in (pred, label))
            self._bands["both"][row] += self._count(np.where(pred_band == label_band, pred_band, NO_CLASS))
            self._bands["pred"][row] += self._count(pred_band)
            self._bands["label"][row] += self._count(label_band)
        for contours in zip(self._near_boundary(pred, 1), self._near_boundary(label, 1)):
            self._compare_contours(*contours)

    def _near_boundary(self, classes: paddle.Tensor, width: int) -> np.ndarray:
        """The classes (N, H, W) within `width` pixels of another class, `NO_CLASS` elsewhere."""
        near = binary_boundary(classes, 2 * width, self.ignore_index)
        return paddle.where(near, classes, paddle.full_like(classes, NO_CLASS)).numpy()

    def _count(self, classes: np.ndarray) -> np.ndarray:
        return np.bincount(classes[classes != NO_CLASS], minlength=self.num_classes)

    def _compare_contours(self, pred: np.ndarray, label: np.ndarray) -> None:
        """Count, of one image's contours (H, W), the pixels and those near the other contour of their class."""
        counts = {"pred": self._count(pred), "label": self._count(label)}
        for key, count in counts.items():
            self._contours[key] += count
        for c in np.flatnonzero(counts["pred"] * counts["label"]):
            for key, contour, other in (("pred", pred, label), ("label", label, pred)):
                squared = _squared_distances(other == c)[contour == c]
                self._near[key][:, c] += [np.count_nonzero(squared <= width**2) for width in self.widths]

    def iou(self) -> np.ndarray:
        """Boundary IoU (widths, K)."""
        return _ratio(self._bands["both"], self._bands["pred"] + self._bands["label"] - self._bands["both"])

    def f_score(self) -> np.ndarray:
        """Boundary F-score (widths, K): 2PR / (P + R), 0 where no contour is near the other."""
        precision = _ratio(self._near["pred"], self._contours["pred"])
        recall = _ratio(self._near["label"], self._contours["label"])
        f_score = np.nan_to_num(_ratio(2 * precision * recall, precision + recall))
        return np.where(self._contours["pred"] + self._contours["label"] == 0, np.nan, f_score)


@contextmanager
def watched_predictions(watch: Callable[[paddle.Tensor, paddle.Tensor], None]):
    """Let `watch` see each (prediction, label) that PaddleSeg's `evaluate` takes its areas of."""
    original = metrics.calculate_area

    def calculate_area(pred, label, *args, **kwargs):
        watch(pred, label)
        return original(pred, label, *args, **kwargs)

    metrics.calculate_area = calculate_area
    try:
        yield
    finally:
        metrics.calculate_area = original


def _squared_distances(mask: np.ndarray) -> np.ndarray:
    """The squared Euclidean distance, a whole number, of every pixel (H, W) to the nearest one of `mask`."""
    distances = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.rint(distances.astype(np.float64) ** 2)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """`part` / `whole`, nan where `whole` is 0."""
    with np.errstate(invalid="ignore"):
        return part / whole


def _mean(scores: np.ndarray) -> np.ndarray:
    """The mean over the classes that have a score (widths, K) -> (widths,); nan without any."""
    return _ratio(np.nansum(scores, axis=1), (~np.isnan(scores)).sum(axis=1))


def _nan_to_none(value):
    if isinstance(value, dict):
        return {key: _nan_to_none(item) for key, item in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
