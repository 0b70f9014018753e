"""One self-contained HTML page about a trained network: its scores, and the images it does worst on."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import cv2
import jinja2
import numpy as np
import paddle
import paddle.nn.functional as F
from paddleseg.cvlibs import Config
from paddleseg.utils import get_sys_env, metrics

import paddleseg_ext
from paddleseg_ext.analysis.boundary_pictures import boundary_probability, grey, label_boundary
from paddleseg_ext.analysis.boundary_quality import BoundaryQuality
from paddleseg_ext.analysis.heat_map import grad_cam, heat_overlay
from paddleseg_ext.analysis.pictures import Picture
from paddleseg_ext.analysis.segmentation import colour_map
from paddleseg_ext.command import one_line
from paddleseg_ext.datasets.description import Classes
from paddleseg_ext.files import write_whole
from paddleseg_ext.segmenter import Segmenter

BOUNDARY_WIDTH = 2  # pixels that a boundary may be off for the F-score
NEAR_BOUNDARY = 3  # pixels on either side of the label's boundary within which an error is one of drawing it
ERRORS = {  # RGB; told apart by colour-blind readers too (Okabe and Ito)
    f"wrong within {NEAR_BOUNDARY} px of a boundary": (0, 114, 178),
    "wrong elsewhere": (213, 94, 0),
}
PAGE_WIDTH = 960  # pixels; larger images are made smaller for the page
GREY = cv2.COLOR_GRAY2BGR
TEMPLATE = Path(__file__).with_name("report.html")


@dataclass(frozen=True)
class Score:
    """How well an image went: the mean IoU of the classes in its label or prediction or, without a label, the mean
    probability of what is predicted."""

    picture: Picture
    value: float

    @property
    def labelled(self) -> bool:
        return self.picture.label_path is not None


class Scores:
    """Counts images one by one: a confusion matrix (label, prediction), boundary F-scores, a score an image."""

    def __init__(self, classes: Classes):
        self.classes = classes
        self.confusion = np.zeros((len(classes), len(classes)), np.int64)
        self.boundaries = BoundaryQuality(len(classes), [BOUNDARY_WIDTH], classes.ignore_index)
        self.of_pictures: list[Score] = []

    def add(self, picture: Picture, logits: paddle.Tensor, label: np.ndarray | None) -> None:
        """Count an image by its logits (1, K, H, W) and its label (H, W), if it has one."""
        predicted = logits.argmax(axis=1)
        if label is None:
            value = float(F.softmax(logits, axis=1).max(axis=1).mean())
        else:
            confusion = confusion_matrix(predicted[0].numpy(), label, self.classes)
            self.confusion += confusion
            self.boundaries.update(predicted, paddle.to_tensor(label[np.newaxis].astype("int64")))
            present = (confusion + confusion.T).any(axis=0)
            value = mean(metrics.mean_iou(*areas(confusion))[0], present)
        self.of_pictures.append(Score(picture, value))

    def worst(self, count: int) -> list[Score]:
        """The images with the lowest scores, those with labels first."""
        return sorted(self.of_pictures, key=lambda score: (not score.labelled, score.value))[:count]

    @property
    def has_labels(self) -> bool:
        return bool(self.confusion.any())


def confusion_matrix(predicted: np.ndarray, label: np.ndarray, classes: Classes) -> np.ndarray:
    """Pixels by labelled (row) and predicted class (column): (K, K). What the label ignores does not count."""
    num_classes = len(classes)
    counted = (label < num_classes) & (label != classes.ignore_index)
    pairs = num_classes * label[counted].astype(np.int64) + predicted[counted]
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def areas(confusion: np.ndarray) -> list[paddle.Tensor]:
    """What PaddleSeg's metrics take: the pixels of each class that are right, predicted and labelled, (K,) each."""
    return [paddle.to_tensor(x) for x in (np.diag(confusion).copy(), confusion.sum(axis=0), confusion.sum(axis=1))]


def mean(values: np.ndarray, where: np.ndarray) -> float:
    """The mean of the values at the places `where`; 0 if there are none."""
    return float(values[where].mean()) if where.any() else 0.0


@dataclass(frozen=True)
class Image:
    caption: str
    uri: str


@dataclass(frozen=True)
class Entry:
    """An image on the page; `heat_error` says why it has no heat maps."""

    score: Score
    images: list[Image]
    heat_maps: list[Image]
    heat_error: str | None = None


def make_entry(score: Score, image: np.ndarray, segmenter: Segmenter, classes: Classes, layer: str | None) -> Entry:
    """Everything the page shows of a BGR image (H, W, 3); no heat maps if `layer` is None."""
    predicted = segmenter.predict(image)
    path, size = score.picture.label_path, (image.shape[0], image.shape[1])
    label = None if path is None else classes.read_label(path, size)
    images = [photo("image", image)]
    if label is not None:
        images.append(drawing("label", colour_map(label, classes)))
    images.append(drawing("prediction", colour_map(predicted, classes)))
    if label is not None:
        edge = label_boundary(label, classes.ignore_index)
        images.append(drawing("errors", error_map(image, predicted, label, classes)))
        images.append(drawing("boundary of the label", cv2.cvtColor(grey(edge), GREY)))
    images.append(drawing("predicted boundary", cv2.cvtColor(grey(boundary_probability(segmenter, image)), GREY)))
    heat_maps, heat_error = [], None
    try:
        heats = [] if layer is None else grad_cam(segmenter, image, layer)
        heat_maps = [photo(classes.names[h.class_index], heat_overlay(image, h.cam, h.cam.max())) for h in heats]
    except Exception as error:  # whatever a network that heat maps do not suit makes of it: the rest is still worth it
        heat_error = one_line(error)
    return Entry(score, images, heat_maps, heat_error)


def error_map(image: np.ndarray, predicted: np.ndarray, label: np.ndarray, classes: Classes) -> np.ndarray:
    """The image in pale grey (BGR), wrong pixels in the colours of `ERRORS`, white where nothing is labelled."""
    labelled = (label < len(classes)) & (label != classes.ignore_index)
    wrong = (predicted != label) & labelled
    near = label_boundary(label, classes.ignore_index, 2 * NEAR_BOUNDARY)
    pale = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), GREY) // 2 + 110
    pale[~labelled] = 255
    pale[wrong & near], pale[wrong & ~near] = (colour[::-1] for colour in ERRORS.values())
    return pale


def photo(caption: str, image: np.ndarray) -> Image:
    return Image(caption, _uri(image, cv2.INTER_AREA, ".jpg", "image/jpeg"))


def drawing(caption: str, image: np.ndarray) -> Image:
    """Flat colours, which must not mix."""
    return Image(caption, _uri(image, cv2.INTER_NEAREST, ".png", "image/png"))


def _uri(image: np.ndarray, interpolation: int, suffix: str, mime: str) -> str:
    height, width = image.shape[:2]
    if width > PAGE_WIDTH:
        size = PAGE_WIDTH, max(1, round(height * PAGE_WIDTH / width))
        image = cv2.resize(image, size, interpolation=interpolation)
    encoded = cv2.imencode(suffix, image)[1]
    return f"data:{mime};base64,{base64.b64encode(encoded).decode()}"


def write_page(
    path: str, title: str, config: Config, scores: Scores, entries: list[Entry], layer: str | None, trained: bool = True
) -> None:
    """Write the page, whole or not at all; `layer` is that of the heat maps, if there are any."""
    iou, mean_iou = metrics.mean_iou(*areas(scores.confusion))
    f_score = scores.boundaries.f_score()[0]
    labelled = scores.confusion.any(axis=1)
    shares = scores.confusion / np.maximum(scores.confusion.sum(axis=1, keepdims=True), 1)
    rows = [
        {"name": name, "colour": css(colour), "iou": i, "f_score": f, "shares": share}
        for name, colour, i, f, share in zip(scores.classes.names, scores.classes.colours, iou, f_score, shares)
    ]
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.tests["missing"] = lambda value: np.isnan(value)
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        title=title,
        today=date.today().isoformat(),
        scores=scores,
        accuracy=np.trace(scores.confusion) / max(scores.confusion.sum(), 1),
        mean_iou=mean_iou,
        mean_f_score=mean(f_score, ~np.isnan(f_score)),
        absent=[name for name, has_label in zip(scores.classes.names, labelled) if not has_label],
        width=BOUNDARY_WIDTH,
        rows=rows,
        entries=entries,
        layer=layer,
        errors={kind: css(colour) for kind, colour in ERRORS.items()},
        trained=trained,
        config=str(config),
        versions={"paddleseg_ext": paddleseg_ext.__version__, **get_sys_env()},
    )
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, page)


def css(colour) -> str:
    """An RGB colour as a page has it."""
    return "#{:02x}{:02x}{:02x}".format(*colour)
