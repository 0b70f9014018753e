"""Draws the synthetic street data set in Cityscapes' folder layout, which PaddleSeg's `Cityscapes` type reads."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from tqdm import tqdm

from paddleseg_ext.command import UserError
from paddleseg_ext.datasets.cityscapes_classes import train_ids_to_label_ids
from paddleseg_ext.datasets.lists import SPLITS
from paddleseg_ext.files import write_image, write_whole
from paddleseg_ext.street.scene import CYCLE, draw_picture

MARKER = "street.json"
"""The file that makes a folder ours; it holds what the images were drawn with."""

PICTURES, LABELS = "leftImg8bit", "gtFine"
MIN_SIDE = 64


def make_street_dataset(
    save_dir: str,
    num_pictures: dict[str, int],
    size: tuple[int, int],
    seed: int,
    overwrite: bool = False,
    workers: int = os.cpu_count() or 1,
) -> None:
    """Draw a data set into `save_dir`; one that was interrupted is finished, one drawn differently is replaced.

    Args:
        save_dir: the data set's root.
        num_pictures: of each of `SPLITS`; at least `CYCLE`, so that every class occurs in every split.
        size: (width, height) in pixels; of a much narrower or wider image not every class would fit.
        seed: of the data set.
        overwrite: take a folder that is not empty and not ours; its images and labels are deleted.
        workers: processes that draw.

    Raises:
        UserError: too few images, a size or seed that does not do, or a folder that is not ours.
    """
    for split in SPLITS:
        if num_pictures[split] < CYCLE:
            raise UserError(
                f"--num_{split} {num_pictures[split]}: at least {CYCLE} images are needed to show all 19 classes"
            )
    width, height = size
    if min(size) < MIN_SIDE or not height <= width <= 4 * height:
        raise UserError(
            f"--size {width} {height}: each side needs at least {MIN_SIDE} pixels, and the width one to four heights"
        )
    if seed < 0:
        raise UserError(f"--seed {seed}: give at least 0")

    root = Path(save_dir)
    _claim(root, {"size": list(size), "seed": seed, "drawn_by": _drawing_code()}, overwrite)
    for split in SPLITS:
        _remove_others(root, split, num_pictures[split])
    jobs = [(split, index) for split in SPLITS for index in range(num_pictures[split])]
    draw = partial(_write_picture, root, seed, (width, height))
    with ProcessPoolExecutor(workers) as pool:
        for _ in tqdm(pool.map(draw, *zip(*jobs), chunksize=4), desc=f"drawing {root}", total=len(jobs)):
            pass


def _claim(root: Path, drawn_with: dict, overwrite: bool) -> None:
    """Make `root` a folder of ours with nothing in it that was drawn differently."""
    marker = root / MARKER
    if root.exists() and not root.is_dir():
        raise UserError(f"--save_dir {root}: is a file; name a folder")
    ours = marker.is_file()
    if root.is_dir() and any(root.iterdir()) and not ours and not overwrite:
        raise UserError(f"--save_dir {root}: is not empty and not made by this tool; name another, or --overwrite")
    if not ours or marker.read_text() != json.dumps(drawn_with):
        for folder in (PICTURES, LABELS):
            if (root / folder).exists():
                shutil.rmtree(root / folder)
    root.mkdir(parents=True, exist_ok=True)
    write_whole(str(marker), json.dumps(drawn_with))


def _drawing_code() -> str:
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha1(b"".join(file.read_bytes() for file in files)).hexdigest()


def _paths(root: Path, split: str, index: int) -> tuple[Path, Path, Path]:
    """Image, train ids and label ids, named as Cityscapes names them; the city is the split's own."""
    city = f"{split}ville"
    stem = f"{city}_{index:06d}_000019"
    return (
        root / PICTURES / split / city / f"{stem}_leftImg8bit.png",
        root / LABELS / split / city / f"{stem}_gtFine_labelTrainIds.png",
        root / LABELS / split / city / f"{stem}_gtFine_labelIds.png",
    )


def _remove_others(root: Path, split: str, count: int) -> None:
    """Remove the images of an earlier, larger data set, and what an interrupted run left half-written."""
    wanted = {path for index in range(count) for path in _paths(root, split, index)}
    for folder in {path.parent for path in wanted if path.parent.is_dir()}:
        for path in set(folder.iterdir()) - wanted:
            if not path.is_dir():
                path.unlink()


def _write_picture(root: Path, seed: int, size: tuple[int, int], split: str, index: int) -> None:
    paths = _paths(root, split, index)
    if all(path.exists() for path in paths):
        return
    picture, train_ids = draw_picture(seed, split, index, size)
    for path, pixels in zip(paths, (picture, train_ids, train_ids_to_label_ids(train_ids))):
        write_image(str(path), pixels)
