"""The classes of own data: those of classes.txt, of the JSON, of --num_classes, or what the labels hold."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from paddleseg.datasets import Dataset
from tqdm import tqdm

from paddleseg_ext.command import UserError
from paddleseg_ext.datasets.description import CLASSES_FILE, Classes, describe
from paddleseg_ext.datasets.palettes import UNKNOWN
from paddleseg_ext.files import open_picture

FEW_LABELS = 10
"""From as many labels on, a value that a single one holds is taken for a mistake rather than for a class."""


def own_classes(
    root: str, num_classes: int | None, labels: Sequence[str], names: tuple[str, ...] | None = None
) -> Classes:
    """The classes of the data in `root`.

    Args:
        num_classes: the flag.
        labels: files of masks, which are counted if nothing else tells the classes.
        names: those in the JSON from which labels are drawn, if they are.

    Raises:
        UserError: `num_classes` is not the number of classes that classes.txt or the JSON names.
    """
    if os.path.isfile(os.path.join(root, CLASSES_FILE)):
        return describe(Dataset, {"dataset_root": root, "num_classes": num_classes})
    if names is not None:
        if num_classes not in (None, len(names)):
            raise UserError(
                f"--num_classes {num_classes}: the JSON in {root} names {len(names)} classes, {', '.join(names)}: "
                "omit the flag"
            )
        return replace(describe(Dataset, {"num_classes": len(names)}), names=names)
    classes = describe(Dataset, {"num_classes": num_classes or _count_classes(labels)})
    return replace(classes, colours=_palette(labels, classes.colours, len(classes)))


def _count_classes(labels: Sequence[str]) -> int:
    """How many values follow one another from 0, or 1 if there is no 0.

    A value after a gap, or in one of many labels only, is no class but for the check to complain about.
    """
    seen: Counter = Counter()
    for path in tqdm(labels, desc="counting classes", unit="label"):
        try:
            with open_picture(path) as label:
                if label.mode in ("L", "P", "1"):
                    seen.update(np.bincount(np.asarray(label, np.uint8).ravel(), minlength=256).nonzero()[0].tolist())
        except Exception:  # broken, which the check says
            continue
    first = 0 if seen[0] else 1
    number = 0
    while seen[first + number] > (len(labels) >= FEW_LABELS) and first + number < UNKNOWN - 1:
        number += 1
    return max(number, 1)


def _palette(labels: Sequence[str], colours: np.ndarray, num_classes: int) -> np.ndarray:
    """`colours` with those of the first label's palette, if it has one that tells the classes apart."""
    try:
        with open_picture(labels[0]) as label:
            palette = np.array(label.getpalette("RGB") or [], np.uint8).reshape(-1, 3)[:num_classes]
    except Exception:  # no label, or a broken one, which the check says
        return colours
    grey = (palette == np.arange(len(palette), dtype=np.uint8)[:, None]).all()
    if len(np.unique(palette, axis=0)) < num_classes or grey:
        return colours
    return np.concatenate([palette, colours[num_classes:]])
