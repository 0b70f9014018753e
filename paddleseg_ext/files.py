"""Reading pictures, and writing files whole or not at all."""

from __future__ import annotations

import os

import cv2
import numpy as np


def read_image(path: str) -> np.ndarray:
    """A picture as uint8 BGR (H, W, 3): 16 bits become 8, alpha is left out.

    Goes through a buffer because `cv2.imread` takes no non-Latin path on Windows.
    """
    encoded = np.fromfile(path, np.uint8)
    image = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if encoded.size else None
    if image is None:
        raise ValueError("not a readable picture")
    return image


def write_image(path: str, image: np.ndarray) -> None:
    """Write a BGR or grey picture whole or not at all; the suffix of `path` gives the format."""
    done, encoded = cv2.imencode(os.path.splitext(path)[1], image)
    if not done:
        raise ValueError(f"{path}: OpenCV cannot encode a picture of shape {image.shape}")
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    partial = f"{path}.part"
    encoded.tofile(partial)
    os.replace(partial, path)


def write_whole(path: str, text: str) -> None:
    """Write a text file whole or not at all."""
    partial = f"{path}.part"
    with open(partial, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)
    os.replace(partial, path)
