"""Pictures and video frames through a network, with decoding, network and drawing side by side.

Decoding and drawing run in threads of their own (OpenCV, NumPy and Pillow let go of Python's lock) while the calling
thread keeps the network busy.
"""

from __future__ import annotations

import itertools
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, NamedTuple

import cv2
import numpy as np
from paddleseg.utils import visualize
from PIL import Image
from tqdm import tqdm

from paddleseg_ext.analysis.pictures import read_image, write_image
from paddleseg_ext.command import UserError, one_line

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".m4v", ".webm")
AHEAD = 4  # pictures decoded before the network asks for them, and drawn after it has gone on
PICTURE_WEIGHT = 0.6  # of the picture under the colours, as PaddleSeg draws it


@dataclass
class Summary:
    """How a run went; `failed` holds a line for each picture that could not be done."""

    done: int = 0
    seconds: float = 0.0
    network_seconds: float = 0.0
    failed: list[str] = field(default_factory=list)

    def __str__(self):
        return (
            f"{self.done} in {self.seconds:.1f} s: {self.done / self.seconds:.2f} a second, "
            f"the network was busy {self.network_seconds / self.seconds:.0%} of the time"
        )


def stream(
    items: Iterable,
    load: Callable,
    network: Callable[[np.ndarray], np.ndarray],
    finish: Callable,
    total: int | None = None,
    unit: str = "picture",
    workers: int = 2,
) -> Summary:
    """``finish(item, loaded, labels)`` for each item, where ``loaded = load(item)`` and the labels are the network's.

    What goes wrong with an item is noted in the summary, and the rest goes on.

    Args:
        load: returns a dict with the network's input (C, H, W) as "img".
        network: a session that returns labels (1, H, W).
        workers: threads for `load` and as many for `finish`; one keeps the order.
    """
    summary = Summary()

    def computed(loaders):
        for item, future in _ahead(loaders, load, items):
            try:
                loaded = future.result()
                begin = time.perf_counter()
                labels = network(loaded["img"][None])[0]
                summary.network_seconds += time.perf_counter() - begin
            except Exception as error:  # whatever a codec, a transform or the network makes of an odd picture
                fail(item, error)
                continue
            yield item, loaded, labels

    def fail(item, error):
        summary.failed.append(f"{item}: {one_line(error)}")
        progress.update()

    start = time.perf_counter()
    with (
        ThreadPoolExecutor(workers) as loaders,
        ThreadPoolExecutor(workers) as finishers,
        tqdm(total=total, unit=unit) as progress,
    ):
        for job, future in _ahead(finishers, lambda job: finish(*job), computed(loaders)):
            try:
                future.result()
                summary.done += 1
                progress.update()
            except Exception as error:
                fail(job[0], error)
    summary.seconds = time.perf_counter() - start
    return summary


def _ahead(pool: ThreadPoolExecutor, function: Callable, items: Iterable) -> Iterator[tuple]:
    """(item, future of ``function(item)``) in order, with `AHEAD` items under way."""
    pending = deque()
    for item in items:
        pending.append((item, pool.submit(function, item)))
        if len(pending) > AHEAD:
            yield pending.popleft()
    yield from pending


class Artist:
    """Draws labels as PaddleSeg's predict does.

    Args:
        colours: R, G, B, R, G, B, ... of PaddleSeg's `get_color_map_list`.
    """

    def __init__(self, colours: list[int]):
        self.palette = colours
        self.bgr = np.array(colours[:768], np.uint8).reshape(256, 1, 3)[:, :, ::-1].copy()

    def blend(self, image: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """The picture (H, W, 3) BGR under the colours of its labels (H, W) uint8."""
        return cv2.addWeighted(image, PICTURE_WEIGHT, cv2.applyColorMap(labels, self.bgr), 1 - PICTURE_WEIGHT, 0)

    def write(self, save_dir: str, name: str, image: np.ndarray, labels: np.ndarray) -> None:
        """PaddleSeg's two pictures: added_prediction/<name> and pseudo_color_prediction/<name without suffix>.png."""
        write_image(os.path.join(save_dir, "added_prediction", name), self.blend(image, labels))
        path = os.path.join(save_dir, "pseudo_color_prediction", os.path.splitext(name)[0] + ".png")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(f"{path}.part", "wb") as file:
            visualize.get_pseudo_color_map(labels, self.palette).save(file, "PNG", compress_level=1)
        os.replace(f"{path}.part", path)


def predict_pictures(
    paths: list[str], folder: str | None, transforms: Callable, session: Callable, artist: Artist, save_dir: str
) -> Summary:
    """Label pictures with a session and write what PaddleSeg's predict writes."""

    def load(path):
        reason = unreadable_picture(path)
        if reason:
            raise ValueError(reason)
        image = read_image(path)
        return {"picture": image, **transforms({"img": image.astype(np.float32)})}

    def finish(path, loaded, labels):
        name = os.path.relpath(path, folder) if folder else os.path.basename(path)
        artist.write(save_dir, name, loaded["picture"], restore_size(labels, loaded["trans_info"]))

    return stream(paths, load, session, finish, len(paths))


class Frame(NamedTuple):
    """A picture of a video (H, W, 3) in BGR."""

    index: int
    image: np.ndarray

    def __str__(self):
        return f"frame {self.index}"


def predict_video(path: str, transforms: Callable, session: Callable, artist: Artist, save_dir: str) -> Summary:
    """Label a video's frames with a session and write <save_dir>/added_prediction/<name>.mp4.

    Raises:
        UserError: the video does not decode.
    """
    capture = cv2.VideoCapture(path)
    width, height = (int(capture.get(key)) for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    decodes, first = capture.read()
    if not decodes:
        raise UserError(f"{path}: not a video that OpenCV can decode")
    target = Path(save_dir, "added_prediction", Path(path).stem + ".mp4")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".part.mp4")
    fourcc = cv2.VideoWriter_fourcc(*"mp4v")
    writer = cv2.VideoWriter(str(partial), fourcc, capture.get(cv2.CAP_PROP_FPS) or 25.0, (width, height))

    def frames():
        decodes, image = True, first
        for index in itertools.count():
            if not decodes:
                return
            yield Frame(index, image)
            decodes, image = capture.read()

    def load(frame):
        return transforms({"img": frame.image.astype(np.float32)})

    def finish(frame, loaded, labels):
        writer.write(artist.blend(frame.image, restore_size(labels, loaded["trans_info"])))

    total = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) or None
    summary = stream(frames(), load, session, finish, total, "frame", workers=1)
    writer.release()
    partial.replace(target)
    return summary


def restore_size(labels: np.ndarray, trans_info: list) -> np.ndarray:
    """Labels (H, W) as uint8 at the picture's own size: undoes what resizing and padding transforms noted."""
    labels = labels.astype(np.uint8)
    for kind, (height, width) in reversed([(info[0], info[1][:2]) for info in trans_info]):
        kind = kind[0] if isinstance(kind, list) else kind
        if kind == "resize":
            labels = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST)
        elif kind == "padding":
            labels = labels[:height, :width]
    return np.ascontiguousarray(labels)


def unreadable_picture(path: str) -> str | None:
    """Why a picture file does not decode, or None if it does."""
    try:
        with Image.open(path) as picture:
            picture.load()  # reads to the end: a file cut short fails here, where OpenCV pads it
    except (OSError, SyntaxError, ValueError) as error:  # Pillow's PNG reader raises SyntaxError
        return str(error)
    if not cv2.haveImageReader(path):
        return "OpenCV has no reader for it"
    return None
