"""What VisualDL shows of a training: PaddleSeg's scalars under telling names, and more at each evaluation.

docs/watching.md lists the tags. Between evaluations nothing is computed and nothing is read from the device: the
trainer reads its losses anyway.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn
from paddleseg.core import infer
from paddleseg.utils import logger

from paddleseg_ext.analysis.boundary_pictures import grey, label_boundary
from paddleseg_ext.analysis.boundary_quality import BoundaryQuality, watched_predictions
from paddleseg_ext.analysis.segmentation import INK, WHITE, add_legend, colour_map
from paddleseg_ext.command import one_line
from paddleseg_ext.datasets.description import Classes, describe
from paddleseg_ext.datasets.palettes import UNKNOWN
from paddleseg_ext.files import read_image
from paddleseg_ext.losses.common import members
from paddleseg_ext.segmenter import head_logits

PICTURES = 4  # of the validation set, shown at each evaluation
TILE_WIDTH = 400  # pixels; larger images are made smaller
TEXT_SCALE = 0.8  # of OpenCV's font: VisualDL shows images at a third of their size
BOUNDARY_WIDTH = 2  # pixels that a boundary may be off, as in tools/report.py
WRONG = (60, 60, 230)  # BGR
TAGS = {  # PaddleSeg's tag: ours
    "Train/batch_cost": "Seconds per step/all",
    "Train/reader_cost": "Seconds per step/waiting for data",
    "Evaluate/Ema_mIoU": "Evaluate/mIoU of the averaged weights",
    "Evaluate/Ema_Acc": "Evaluate/Acc of the averaged weights",
}


class Watch:
    """Takes the place of VisualDL's writer in PaddleSeg's trainer.

    Args:
        writer: VisualDL's `LogWriter`.
        model: the network in training.
        losses: PaddleSeg's, ``{"types": [...], "coef": [...]}``.
        best: the best mIoU so far and its iteration, of a run that goes on.
    """

    def __init__(self, writer, model: nn.Layer, losses: dict, best: tuple[float, int] = (-1.0, -1)):
        self.writer = writer
        self.losses = losses
        self.loss_names = loss_names(model, losses)
        self.best = best
        self._seconds = 0.0
        self._told = False  # why there is no validation loss

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        """What the trainer logs, under our tags."""
        if tag in ("Evaluate/mIoU", "Evaluate/Acc"):
            return  # `evaluate` has logged them, before the rest of their group
        prefix, _, index = tag.rpartition("_")
        if prefix == "Train/loss" and index.isdigit():
            number = int(index)
            name = self.loss_names[number] if number < len(self.loss_names) else f"loss {number + 1}"
            tag = f"Train/{name}"
        self._add(TAGS.get(tag, tag), value, step)
        if tag == "Train/batch_cost":
            self._seconds = value
        elif tag == "Train/reader_cost":
            self._add("Seconds per step/network", self._seconds - value, step)

    def close(self) -> None:
        """Write which iteration was best."""
        score, iteration = self.best
        if iteration > 0:
            self.writer.add_text("Best model", f"mIoU {score:.4f} at iteration {iteration}", iteration)
        self.writer.close()

    def evaluate(self, evaluate: Callable, model: nn.Layer, dataset: paddle.io.Dataset, step: int, **settings) -> tuple:
        """PaddleSeg's `evaluate` and its result; what it predicts is shown."""
        evaluation = _Evaluation(model, dataset, self._loss_of_main, settings.get("use_multilabel", False))
        with evaluation.watched():
            result = evaluate(model, dataset, **settings)
        miou, acc, class_iou, *_ = result
        if miou > self.best[0]:
            self.best = (float(miou), step)
        scores = {"mIoU": miou, "best mIoU": self.best[0], "Acc": acc, **evaluation.boundary_scores()}
        for tag, value in {**scores, "loss": evaluation.loss()}.items():
            self._add(f"Evaluate/{tag}", value, step)
        for name, iou in zip(evaluation.classes.names, class_iou):
            self._add(f"IoU/{tag_of(name)}", iou, step)
        for name, picture in evaluation.pictures:
            self.writer.add_image(f"Images/{tag_of(name)}", picture[..., ::-1], step)
        return result

    def _add(self, tag: str, value: float, step: int) -> None:
        """Values that are no numbers have no place on a curve."""
        if math.isfinite(value):
            self.writer.add_scalar(tag, float(value), step)

    def _loss_of_main(self, logits: paddle.Tensor, label: paddle.Tensor) -> paddle.Tensor | None:
        """What the first loss, with its coefficient, makes of the main logits (1, K, H, W); None if it cannot."""
        loss_of_main = self.losses["types"][0]
        for member in members(loss_of_main):
            member.eval()  # a ramp does not count this as a step
        try:
            loss = loss_of_main(logits.astype("float32"), label)
        except Exception as error:  # a loss that needs more than logits and labels
            if not self._told:
                self._told = True
                logger.warning(f"no validation loss: {self.loss_names[0]} cannot be computed: {one_line(error)}")
            return None
        finally:
            for member in members(loss_of_main):
                member.train()
        parts = loss if isinstance(loss, (list, tuple)) else [loss]
        return self.losses["coef"][0] * sum(part.mean() for part in parts)


def loss_names(model: nn.Layer, losses: dict) -> list[str]:
    """A name for each loss that the trainer adds up: its class, after the output that it is for if that has a name."""
    types = losses["types"]
    outputs = getattr(model, "outputs", ())
    outputs = [f"{output} " for output in outputs] if len(outputs) == len(types) else [""] * len(types)
    names = [f"{output}{type(member).__name__}" for output, loss in zip(outputs, types) for member in members(loss)]
    numbered = [f"{name} {names[: index + 1].count(name)}" for index, name in enumerate(names)]
    return [number if names.count(name) > 1 else name for name, number in zip(names, numbered)]


def tag_of(name: str) -> str:
    """`name` as a part of a tag: a slash would begin a group, and VisualDL refuses the per cent sign."""
    return name.replace("/", "|").replace("%", "percent")


def classes_of(dataset: paddle.io.Dataset) -> Classes:
    """Names and colours of a data set's classes."""
    settings = {key: value for key, value in vars(dataset).items() if isinstance(value, (str, int, float))}
    if dataset.num_classes < UNKNOWN:
        return describe(type(dataset), settings)
    names = tuple(f"class {index}" for index in range(dataset.num_classes))  # more than there are colours
    return Classes(names, np.zeros((256, 3), np.uint8), dataset.ignore_index)


class _Evaluation:
    """Looks on while PaddleSeg evaluates: validation loss, boundary quality, and a few images.

    With several processes, what it counts is of this one's share of the images.
    """

    def __init__(self, model: nn.Layer, dataset: paddle.io.Dataset, loss: Callable, multilabel: bool):
        self.model = model
        self.dataset = dataset
        self.classes = classes_of(dataset)
        self.pictures: list[tuple[str, np.ndarray]] = []
        self._loss = loss
        self._losses: list[paddle.Tensor] = []
        self._boundaries = BoundaryQuality(dataset.num_classes, [BOUNDARY_WIDTH], dataset.ignore_index)
        self._multilabel = multilabel
        environment = paddle.distributed.ParallelEnv()
        self._index, self._stride = environment.rank, environment.nranks
        own = range(self._index, len(dataset), self._stride)
        self._shown = {own[len(own) * number // PICTURES] for number in range(PICTURES)} if own else set()
        self._input: tuple[paddle.Tensor, dict]  # of the image seen last
        self._logits: paddle.Tensor

    @contextmanager
    def watched(self) -> Iterator[None]:
        if self._multilabel:  # each pixel may be of several classes: no boundaries, no class colours
            yield
            return
        with self._kept("inference"), self._kept("aug_inference"), watched_predictions(self._see):
            yield

    def loss(self) -> float:
        """The mean over the images; nan if it cannot be computed."""
        return float(paddle.stack(self._losses).mean()) if self._losses else math.nan

    def boundary_scores(self) -> dict[str, float]:
        """The means over the classes that have a boundary."""
        scores = {"boundary IoU": self._boundaries.iou(), "boundary F-score": self._boundaries.f_score()}
        return {
            f"{name}, {BOUNDARY_WIDTH} px": float(np.nanmean(of_classes))
            for name, of_classes in scores.items()
            if not np.isnan(of_classes).all()
        }

    @contextmanager
    def _kept(self, name: str) -> Iterator[None]:
        """Within it, what goes into and comes out of PaddleSeg's `inference` or `aug_inference` is kept."""
        original = getattr(infer, name)

        def kept(model, im, *args, **settings):
            result = original(model, im, *args, **settings)
            if settings.get("trans_info") is not None:  # otherwise it is one of several scales
                self._input, self._logits = (im, settings), result[1]
            return result

        setattr(infer, name, kept)
        try:
            yield
        finally:
            setattr(infer, name, original)

    def _see(self, pred: paddle.Tensor, label: paddle.Tensor) -> None:
        """One image's predicted and labelled classes (1, 1, H, W)."""
        if self._index < len(self.dataset):  # several processes see the first images again at the end
            label = label.astype("int64").reshape([1, *label.shape[-2:]])
            pred = pred.reshape(label.shape)
            self._boundaries.update(pred, label)
            loss = self._loss(self._logits, label)
            if loss is not None:
                self._losses.append(loss)
            if self._index in self._shown:
                self._show(pred[0].numpy(), label[0].numpy())
        self._index += self._stride

    def _show(self, pred: np.ndarray, label: np.ndarray) -> None:
        path = self.dataset.file_list[self._index][0]
        image = cv2.resize(read_image(path), label.shape[::-1], interpolation=cv2.INTER_AREA)
        number = sorted(self._shown).index(self._index) + 1
        drawn = draw(image, label, pred, self.classes, self._boundary())
        self.pictures.append((f"{number} {Path(path).stem}", drawn))

    def _boundary(self) -> np.ndarray | None:
        """What the boundary head makes of the image seen last, 0 to 1 (H, W); None without such a head."""
        if "boundary" not in getattr(self.model, "heads", ()):
            return None
        im, settings = self._input
        window = {key: settings.get(key) for key in ("trans_info", "is_slide", "stride", "crop_size")}
        _, logits = infer.inference(lambda x: [head_logits(self.model, x, "boundary")], im, **window)
        return F.sigmoid(logits)[0].max(axis=0).numpy()


def draw(
    image: np.ndarray, label: np.ndarray, pred: np.ndarray, classes: Classes, boundary: np.ndarray | None = None
) -> np.ndarray:
    """Image, label, prediction and errors over a legend: BGR.

    Args:
        image: BGR (H, W, 3).
        label, pred: class indices (H, W).
        boundary: what a boundary head says, 0 to 1 (H, W); shown beside the label's boundary.
    """
    label = np.where((label < len(classes)) & (label != classes.ignore_index), label, 255).astype(np.uint8)
    pred = pred.astype(np.uint8)
    dark = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) // 2, cv2.COLOR_GRAY2BGR)
    wrong = (label < len(classes)) & (pred != label)
    tiles = {
        "image": image,
        "label": colour_map(label, classes),
        "prediction": colour_map(pred, classes),
        f"{wrong.mean():.1%} wrong": np.where(wrong[..., None], np.array(WRONG, np.uint8), dark),
    }
    if boundary is not None:
        of_label = label_boundary(label, 255)
        tiles["predicted boundary"], tiles["label's boundary"] = (
            cv2.cvtColor(grey(value), cv2.COLOR_GRAY2BGR) for value in (boundary, of_label)
        )
    titled = [_tile(title, tile) for title, tile in tiles.items()]
    columns = len(titled) // 2
    rows = [np.hstack(titled[:columns]), np.hstack(titled[columns:])]
    return add_legend(np.vstack(rows), np.concatenate([label, pred]), classes, TEXT_SCALE)


def _tile(title: str, image: np.ndarray) -> np.ndarray:
    """The image, `TILE_WIDTH` wide, under its title."""
    height = max(1, round(image.shape[0] * TILE_WIDTH / image.shape[1]))
    smaller = image.shape[1] > TILE_WIDTH and title == "image"
    image = cv2.resize(image, (TILE_WIDTH, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_NEAREST)
    image = cv2.copyMakeBorder(image, 34, 4, 4, 4, cv2.BORDER_CONSTANT, value=WHITE)
    cv2.putText(image, title, (5, 25), cv2.FONT_HERSHEY_SIMPLEX, TEXT_SCALE, INK, 2, cv2.LINE_AA)
    return image
