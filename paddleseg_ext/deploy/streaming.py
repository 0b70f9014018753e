"""Pictures and video frames through a network, with decoding, network and drawing side by side."""

from __future__ import annotations

from typing import Optional

import cv2
from PIL import Image


def unreadable_picture(path: str) -> Optional[str]:
    """Why a picture file does not decode, or None if it does."""
    try:
        with Image.open(path) as picture:
            picture.load()  # reads to the end: a file cut short fails here, where OpenCV pads it
    except (OSError, SyntaxError, ValueError) as error:  # Pillow's PNG reader raises SyntaxError
        return str(error)
    if not cv2.haveImageReader(path):
        return "OpenCV has no reader for it"
    return None
