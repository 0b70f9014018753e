"""Divides images into train, val and test so that neighbouring frames of a film stay on one side."""

from __future__ import annotations

import math
import os
import random
import re
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np

from paddleseg_ext.command import UserError
from paddleseg_ext.data_tools.own_pairing import UNDIVIDED
from paddleseg_ext.data_tools.splits import Split

ATTEMPTS = 200


def divide(splits: list[Split], ratios: dict[str, float], seed: int) -> list[Split]:
    """`splits`, with train, val and maybe test in the place of the `UNDIVIDED` images, if there are any.

    Args:
        splits: checked.
        ratios: share of each split; that of test goes to the others where there is a test split already.
        seed: of the random division.

    Raises:
        UserError: fewer images than splits.
    """
    whole = next((split for split in splits if split.name == UNDIVIDED), None)
    if whole is None:
        return splits
    test = [split for split in splits if split is not whole]
    if test:
        train = ratios["train"] / (ratios["train"] + ratios["val"])
        ratios = {"train": train, "val": 1 - train}
    if len(whole.samples) < len(ratios):
        raise UserError(f"{whole.root}: {len(whole.samples)} images with labels: at least {len(ratios)} are needed")
    names = [os.path.relpath(sample.image, whole.root) for sample in whole.samples]
    holds = np.array([sample.pixels > 0 for sample in whole.samples])
    assigned = assign_splits(names, holds, [sample.digest for sample in whole.samples], ratios, seed)
    return [
        replace(whole, name=name, samples=[sample for sample, split in zip(whole.samples, assigned) if split == name])
        for name in ratios
    ] + test


def assign_splits(
    names: Sequence[str], holds: np.ndarray, digests: Sequence[Hashable], ratios: dict[str, float], seed: int
) -> list[str]:
    """The split of each image.

    Of `ATTEMPTS` random divisions that keep groups whole the one that leaves the fewest classes out of a split, then
    the one closest to the ratios.

    Args:
        names: paths; see `group_frames`.
        holds: bool (images, classes), which classes each image has.
        digests: equal for equal images, which stay together.
        ratios: share of each split, summing to 1.
        seed: of the random divisions.
    """
    smallest = min(ratio for ratio in ratios.values() if ratio > 0)
    groups = group_frames(names, max(1, round(len(names) * smallest)))
    first: dict[Hashable, int] = {}  # image of each digest
    groups = [groups[first.setdefault(digest, i)] for i, digest in enumerate(digests)]
    members = defaultdict(list)
    for i, group in enumerate(groups):
        members[group].append(i)
    order = sorted(members.values())
    generator = random.Random(seed)
    best: list[str] = []
    best_cost = (math.inf, math.inf)
    for _ in range(ATTEMPTS):
        generator.shuffle(order)
        splits = _hand_out(order, len(names), ratios)
        masks = {split: np.array([s == split for s in splits]) for split in ratios}
        absent = sum(int((holds.any(0) & ~holds[mask].any(0)).sum()) for mask in masks.values())
        off = sum(abs(mask.mean() - ratios[split]) for split, mask in masks.items())
        if (absent, off) < best_cost:
            best, best_cost = splits, (absent, off)
    return best


def _hand_out(order: list[list[int]], total: int, ratios: dict[str, float]) -> list[str]:
    """Val and test take groups until another one would bring them further from their share; train has the rest."""
    splits = ["train"] * total
    left = list(order)
    for split, ratio in ratios.items():
        if split == "train":
            continue
        count, target = 0, ratio * total
        for group in list(left):
            if abs(count + len(group) - target) < abs(count - target) and len(left) > 1:
                count += len(group)
                left.remove(group)
                for i in group:
                    splits[i] = split
    return splits


def group_frames(names: Sequence[str], largest: int) -> list[str]:
    """A group for each image: those in one folder whose names differ in their last number alone.

    A group of more than `largest` images is cut into stretches of half of that in the order of numbers, for a
    folder of img_001 to img_900 would be a single group.
    """
    sequences = defaultdict(list)
    for i, name in enumerate(names):
        stem = name.rpartition(".")[0] or name
        number = re.search(r"\d+(?=[^\d/]*$)", stem)
        if number:
            sequences[stem[: number.start()] + "#" + stem[number.end() :]].append((int(number.group()), i))
        else:
            sequences[stem].append((0, i))
    groups = [""] * len(names)
    for sequence, frames in sequences.items():
        stretch = len(frames) if len(frames) <= largest else max(1, -(-largest // 2))
        for place, (_, i) in enumerate(sorted(frames)):
            groups[i] = f"{sequence}:{place // stretch}"
    return groups
