"""The frames of a video through a network, and a video of what it labels."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from paddleseg_ext.command import UserError
from paddleseg_ext.deploy.drawing import Artist
from paddleseg_ext.deploy.streaming import ExportedSegmenter, Summary, stream
from paddleseg_ext.segmenter import Segmenter

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".m4v", ".webm")


class Frame(NamedTuple):
    """An image of a video (H, W, 3) in BGR."""

    number: int
    image: np.ndarray

    def __str__(self):
        return f"frame {self.number}"


def predict_video(path: str, segmenter: Segmenter | ExportedSegmenter, artist: Artist, save_dir: str) -> Summary:
    """Label a video's frames and write <save_dir>/added_prediction/<name>.mp4, whole or not at all.

    A frame that cannot be labelled is in it as it was. If none can be, nothing is written.

    Raises:
        UserError: the video does not decode, or OpenCV cannot write one.
    """

    def work(frame: Frame) -> tuple[np.ndarray, Exception | None]:
        try:
            return artist.blend(frame.image, segmenter.predict(frame.image)), None
        except Exception as error:  # whatever a transform or the network makes of an odd frame
            return frame.image, error

    def collect(drawn: tuple[np.ndarray, Exception | None]) -> None:
        image, error = drawn
        writer.write(image)
        if error is not None:
            raise error  # `stream` notes it

    target = Path(save_dir, "added_prediction", Path(path).stem + ".mp4")
    with released(cv2.VideoCapture(path)) as capture:
        decodes, first = capture.read()
        if not decodes:
            raise UserError(f"{path}: not a video that OpenCV can decode")
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            partial = Path(folder, target.name)
            fourcc, rate = cv2.VideoWriter_fourcc(*"mp4v"), capture.get(cv2.CAP_PROP_FPS) or 25.0
            height, width = first.shape[:2]
            with released(cv2.VideoWriter(str(partial), fourcc, rate, (width, height))) as writer:
                if not writer.isOpened():
                    raise UserError(f"{target}: OpenCV cannot write an MP4 of {width}x{height}: is its FFmpeg missing?")
                total = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) or None
                summary = stream(frames(first, capture), work, collect, segmenter.workers, total, "frame")
            if summary.done:
                partial.replace(target)
    return summary


@contextmanager
def released(handle):
    """A capture or writer of OpenCV that is released at the end."""
    try:
        yield handle
    finally:
        handle.release()


def frames(first: np.ndarray, capture: cv2.VideoCapture) -> Iterator[Frame]:
    """The first frame, which was read already, and all that follow."""
    number, decodes, image = 0, True, first
    while decodes:
        yield Frame(number, image)
        number += 1
        decodes, image = capture.read()
