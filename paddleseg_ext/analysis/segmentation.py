"""Predicted classes as colours: maps, overlays with a legend, panels."""

from __future__ import annotations

import cv2
import numpy as np

from paddleseg_ext.datasets.description import Classes

WHITE = (255, 255, 255)
INK = (40, 40, 40)


def colour_map(labels: np.ndarray, classes: Classes) -> np.ndarray:
    """Class indices (H, W) as a BGR picture in the colours of the data set."""
    return np.ascontiguousarray(classes.colours[labels][..., ::-1])


def overlay(image: np.ndarray, labels: np.ndarray, classes: Classes, opacity: float) -> np.ndarray:
    """The BGR picture under the class colours; opacity 0 leaves the picture, 1 the colours; ignored pixels stay."""
    blended = cv2.addWeighted(image, 1 - opacity, colour_map(labels, classes), opacity, 0)
    return np.where(labels[..., None] < len(classes), blended, image)


def add_legend(image: np.ndarray, labels: np.ndarray, classes: Classes) -> np.ndarray:
    """The picture over a strip that names the classes in `labels` with their colours, as many rows as they need."""
    scale = min(max(0.4, image.shape[1] / 2400), 2)
    thickness, row = max(1, round(2 * scale)), round(36 * scale)
    entries: list[tuple[int, int, int]] = []
    x, y = row // 4, 0
    for index in np.unique(labels[labels < len(classes)]):
        (width, _), _ = cv2.getTextSize(classes.names[index], cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
        if entries and x + row + width > image.shape[1]:
            x, y = row // 4, y + row
        entries.append((index, x, y))
        x += row + width + row // 2
    strip = np.full((y + row, image.shape[1], 3), WHITE, np.uint8)
    for index, x, y in entries:
        swatch = (x, y + row // 5), (x + row * 3 // 5, y + row * 4 // 5)
        cv2.rectangle(strip, *swatch, classes.colours[index][::-1].tolist(), cv2.FILLED)
        cv2.rectangle(strip, *swatch, INK, 1)
        draw_text(strip, classes.names[index], (x + row * 4 // 5, y + row * 7 // 10), scale)
    return np.vstack([image, strip])


def panel(images: dict[str, np.ndarray]) -> np.ndarray:
    """BGR pictures of one size side by side, white gaps between them and its title above each."""
    height, width = next(iter(images.values())).shape[:2]
    scale = min(max(0.4, width / 1200), 2)
    gap = np.full((height, max(2, width // 100), 3), WHITE, np.uint8)
    parts = [part for image in images.values() for part in (gap, image)][1:]
    titles = np.full((round(40 * scale), len(images) * (width + gap.shape[1]) - gap.shape[1], 3), WHITE, np.uint8)
    for index, title in enumerate(images):
        x = index * (width + gap.shape[1])
        draw_text(titles[:, x : x + width], title, (round(4 * scale), round(28 * scale)), scale)
    return np.vstack([titles, np.hstack(parts)])


def draw_text(image: np.ndarray, text: str, origin: tuple[int, int], scale: float) -> None:
    """Write into a BGR picture in place; `origin` (x, y) is the left end of the base line."""
    # OpenCV writes into contiguous pictures only, and `image` may be a part of one
    drawn = np.ascontiguousarray(image)
    thickness = max(1, round(2 * scale))
    cv2.putText(drawn, text, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, INK, thickness, cv2.LINE_AA)
    image[:] = drawn
