"""Boundaries as images: what a network predicts, and what labels hold."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F

from paddleseg_ext.analysis.segmentation import WHITE, colour_map
from paddleseg_ext.boundary import DEFAULT_WIDTH, binary_boundary
from paddleseg_ext.datasets.description import Classes
from paddleseg_ext.segmenter import Segmenter

MARK = (0, 255, 255)  # yellow, which roads and cities have little of


def boundary_probability(segmenter: Segmenter, image: np.ndarray, width: int = DEFAULT_WIDTH) -> np.ndarray:
    """How likely each pixel of a BGR image is to be on a boundary: float32 (H, W).

    From the boundary head (the likeliest class where it has several). Without one, from the predicted classes: 1 in the
    band of `width` pixels around their changes, 0 elsewhere.
    """
    if has_boundary_head(segmenter):
        return F.sigmoid(segmenter.logits(image, "boundary"))[0].max(axis=0).numpy()
    return label_boundary(segmenter.predict(image), 255, width).astype(np.float32)


def has_boundary_head(segmenter: Segmenter) -> bool:
    return "boundary" in getattr(segmenter.model, "heads", ())


def label_boundary(labels: np.ndarray, ignore_index: int, width: int = DEFAULT_WIDTH) -> np.ndarray:
    """`binary_boundary` of one label map (H, W), as bool (H, W)."""
    return binary_boundary(paddle.to_tensor(labels[np.newaxis].astype("int32")), width, ignore_index)[0].numpy()


def grey(probability: np.ndarray) -> np.ndarray:
    """A map of 0 to 1 (H, W), bool or float, as a grey image."""
    return np.round(probability * 255.0).astype(np.uint8)


def mark_boundary(image: np.ndarray, boundary: np.ndarray) -> np.ndarray:
    """The BGR image with its boundary, bool (H, W), in yellow."""
    return np.where(boundary[..., None], np.array(MARK, np.uint8), image)


def class_boundary_picture(labels: np.ndarray, classes: Classes, width: int = DEFAULT_WIDTH) -> np.ndarray:
    """The boundary pixels of a label map (H, W), each in the colour of its class, on white: BGR."""
    boundary = label_boundary(labels, classes.ignore_index, width)
    return np.where(boundary[..., None], colour_map(labels, classes), np.array(WHITE, np.uint8))
