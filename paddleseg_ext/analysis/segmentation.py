"""Predicted classes as colours: maps, overlays with a legend, panels."""

from __future__ import annotations

import unicodedata

import cv2
import numpy as np

from paddleseg_ext.datasets.description import Classes

WHITE = (255, 255, 255)
INK = (40, 40, 40)


def colour_map(labels: np.ndarray, classes: Classes) -> np.ndarray:
    """Class indices (H, W) as a BGR image in the colours of the data set."""
    return np.ascontiguousarray(classes.colours[labels][..., ::-1])


def overlay(image: np.ndarray, labels: np.ndarray, classes: Classes, opacity: float) -> np.ndarray:
    """The BGR image under the class colours; opacity 0 leaves the image, 1 the colours; ignored pixels stay."""
    blended = cv2.addWeighted(image, 1 - opacity, colour_map(labels, classes), opacity, 0)
    return np.where(labels[..., None] < len(classes), blended, image)


def add_legend(image: np.ndarray, labels: np.ndarray, classes: Classes, scale: float | None = None) -> np.ndarray:
    """The image over a strip that names the classes in `labels` with their colours, as many rows as they need.

    Args:
        scale: of the text, as OpenCV has it; by default it follows from the image's width.
    """
    scale = scale or _text_scale(image.shape[1])
    row = round(36 * scale)
    entries: list[tuple[int, str, int, int]] = []
    x, y = row // 4, 0
    for index in np.unique(labels[labels < len(classes)]):
        name = _latin(classes.names[index]) or f"class {index}"
        width = _text_width(name, scale)
        if entries and x + row + width > image.shape[1]:
            x, y = row // 4, y + row
        entries.append((index, name, x, y))
        x += row + width + row // 2
    strip = np.full((y + row, image.shape[1], 3), WHITE, np.uint8)
    for index, name, x, y in entries:
        swatch = (x, y + row // 5), (x + row * 3 // 5, y + row * 4 // 5)
        cv2.rectangle(strip, *swatch, classes.colours[index][::-1].tolist(), cv2.FILLED)
        cv2.rectangle(strip, *swatch, INK, 1)
        draw_text(strip, name, (x + row * 4 // 5, y + row * 7 // 10), scale)
    return np.vstack([image, strip])


def panel(images: dict[str, np.ndarray]) -> np.ndarray:
    """BGR images of one size side by side, white gaps between them and its title above each."""
    height, width = next(iter(images.values())).shape[:2]
    fitting = 0.95 * width / max(_text_width(title, 1) for title in images)
    scale = max(0.4, min(_text_scale(width * len(images)), fitting))
    gap = np.full((height, max(2, width // 100), 3), WHITE, np.uint8)
    parts = [part for image in images.values() for part in (gap, image)][1:]
    titles = np.full((round(40 * scale), len(images) * (width + gap.shape[1]) - gap.shape[1], 3), WHITE, np.uint8)
    for index, title in enumerate(images):
        x = index * (width + gap.shape[1])
        draw_text(titles[:, x : x + width], title, (round(4 * scale), round(28 * scale)), scale)
    return np.vstack([titles, np.hstack(parts)])


def _text_scale(width: int) -> float:
    """Of text that can be read where an image so wide is shown on a screen."""
    return min(max(0.4, width / 2400), 2)


def _text_width(text: str, scale: float) -> int:
    return cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, max(1, round(2 * scale)))[0][0]


def _latin(name: str) -> str:
    """`name` in the letters that OpenCV's font has: without accents, and empty if it is in another script."""
    return unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().strip()


def draw_text(image: np.ndarray, text: str, origin: tuple[int, int], scale: float) -> None:
    """Write into a BGR image in place; `origin` (x, y) is the left end of the base line."""
    # OpenCV writes into contiguous images only, and `image` may be a part of one
    drawn = np.ascontiguousarray(image)
    thickness = max(1, round(2 * scale))
    cv2.putText(drawn, text, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, INK, thickness, cv2.LINE_AA)
    image[:] = drawn
