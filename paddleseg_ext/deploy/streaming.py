"""Images through a network, with decoding, network and drawing side by side.

Several workers take an image each, decode it, run the network on it and draw; OpenCV, NumPy and the runtimes release
Python's lock. On a CPU each worker has a session of its own with its share of the threads: two images side by side
on a core each take less time than one after the other on both.
"""

from __future__ import annotations

import functools
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import paddle
from paddleseg.transforms import Compose
from tqdm import tqdm

from paddleseg_ext.analysis.pictures import distinct_stems
from paddleseg_ext.command import one_line
from paddleseg_ext.deploy.drawing import Artist
from paddleseg_ext.files import read_image
from paddleseg_ext.segmenter import Segmenter, prepare

WORKERS = 4  # at most: each has its own copy of the network


class ExportedSegmenter:
    """An exported network that returns labels, in the shape of a `Segmenter`; each thread that calls has its session.

    Args:
        transforms: of `Deployment`.
        open_session: called with the number of threads that a session may use; the session turns inputs (N, C, H, W)
            into labels (N, H, W).
        threads: of all sessions together; None is one for each core.
    """

    def __init__(self, transforms: Compose, open_session: Callable[[int], Callable], threads: int | None = None):
        threads = threads or os.cpu_count() or 1
        self.transforms = transforms
        self.workers = min(threads, WORKERS)
        self._open_session = functools.partial(open_session, threads // self.workers)
        self._own = threading.local()

    def predict(self, image: np.ndarray) -> np.ndarray:
        """The predicted classes (H, W), uint8, of a BGR image (H, W, 3)."""
        if not hasattr(self._own, "session"):
            self._own.session = self._open_session()
        data = prepare(image, self.transforms)
        return restore_size(self._own.session(data["img"][None])[0], data["trans_info"])


@dataclass
class Summary:
    """How a run went; `failed` holds a line for each image that could not be done."""

    done: int = 0
    seconds: float = 0.0
    failed: list[str] = field(default_factory=list)

    def __str__(self):
        return f"{self.done} in {self.seconds:.1f} s, {self.done / self.seconds:.2f} a second"


def stream(
    items: Iterable, work: Callable, collect: Callable, workers: int, total: int | None = None, unit: str = "image"
) -> Summary:
    """``collect(work(item))`` for each item: `work` in several threads, `collect` in the order of the items.

    What goes wrong with an item is noted in the summary, and the rest goes on.
    """
    summary = Summary()
    start = time.perf_counter()
    with _one_opencv_thread(), ThreadPoolExecutor(workers) as pool, tqdm(total=total, unit=unit) as progress:
        for item, future in _ahead(pool, work, items, 2 * workers):
            try:
                collect(future.result())
                summary.done += 1
            except Exception as error:  # whatever a codec, a transform or the network makes of an odd image
                summary.failed.append(f"{item}: {one_line(error)}")
            progress.update()
    summary.seconds = time.perf_counter() - start
    return summary


@contextmanager
def _one_opencv_thread() -> Iterator[None]:
    """The workers take all cores already."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(0)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _ahead(pool: ThreadPoolExecutor, work: Callable, items: Iterable, count: int) -> Iterator[tuple]:
    """(item, future of ``work(item)``) in order, with `count` items under way."""
    pending: deque[tuple] = deque()
    for item in items:
        pending.append((item, pool.submit(work, item)))
        if len(pending) > count:
            yield pending.popleft()
    yield from pending


def predict_pictures(
    paths: list[str], folder: str | None, segmenter: Segmenter | ExportedSegmenter, artist: Artist, save_dir: str
) -> Summary:
    """Label images and write what PaddleSeg's predict writes; a label map keeps the suffix of an image's name where two
    differ in nothing else.

    Args:
        paths: of all images; each process of `paddle.distributed.launch` takes its share.
        folder: that their results are named relative to ("" is the current one); None: by their own names.
    """
    root = folder or os.curdir
    names = {path: os.path.basename(path) if folder is None else os.path.relpath(path, root) for path in paths}
    stems = distinct_stems({path: Path(name) for path, name in names.items()})
    ranks = paddle.distributed.ParallelEnv()
    share = paths[ranks.rank :: ranks.nranks]

    def work(path):
        image = read_image(path)
        artist.write(save_dir, names[path], stems[path], image, segmenter.predict(image))

    return stream(share, work, lambda _: None, segmenter.workers, len(share))


def restore_size(labels: np.ndarray, trans_info: list) -> np.ndarray:
    """Labels (H, W) as uint8 at the image's own size: undoes what resizing and padding transforms noted."""
    labels = labels.astype(np.uint8)
    for kind, (height, width) in reversed([(info[0], info[1][:2]) for info in trans_info]):
        kind = kind[0] if isinstance(kind, list) else kind
        if kind == "resize":
            labels = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST)
        elif kind == "padding":
            labels = labels[:height, :width]
    return np.ascontiguousarray(labels)
