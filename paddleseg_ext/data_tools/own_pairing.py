"""Which label belongs to which image in a stranger's folder: flat, split, Cityscapes' layout, EISeg, labelme.

A label belongs to the image of the same name in the folder that remains when words like "images" and "masks" are
taken out of the path: ``images/a.jpg`` and ``masks/a_mask.png``, ``train/a.jpg`` and ``trainannot/a.png``,
``a.jpg`` and ``label/a.png`` (EISeg), ``a.jpg`` and ``a.json`` (labelme).
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from paddleseg_ext.command import UserError
from paddleseg_ext.data_tools.labelme import is_labelme
from paddleseg_ext.datasets.lists import files_below
from paddleseg_ext.datasets.pairing import Partners
from paddleseg_ext.files import PICTURE_SUFFIXES

RENDERED = "labels_from_labelme"
"""The folder of the labels that are drawn from JSON polygons."""

UNDIVIDED = "all"
"""The split of images that are yet to be divided into train and val."""

SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_SPLIT = r"(?P<split>train|training|val|valid|validation|test)?[_-]?"
LABEL_FOLDER = re.compile(
    rf"{_SPLIT}(labels?|masks?|annots?|annotations?|gt|gtfine|ground_?truth|truth|seg|segmentation(class)?|labelme)",
    re.I,
)
PICTURE_FOLDER = re.compile(rf"{_SPLIT}(images?|imgs?|pictures?|pics?|photos?|jpegimages|leftimg8bit|rgb)?", re.I)
LABEL_ENDINGS = ("_gtFine_labelTrainIds", "_labelme", "_mask", "_label", "_labels", "_gt", "_seg", "_L", "_pseudo")
PICTURE_ENDINGS = ("_leftImg8bit", "_image", "_img", "_rgb")
NO_LABELS = ("_gtFine_color", "_gtFine_labelIds", "_gtFine_instanceIds", "_cutout")
"""What Cityscapes and EISeg keep beside the labels."""

Key = tuple[str, ...]


def find_own_data(root: str) -> dict[str, Partners]:
    """The images below `root` with their labels: masks, or where there are no masks at all, labelme's JSON.

    Returns:
        Split -> its files: train, val and maybe test; or, where folders tell not both of train and val, `UNDIVIDED`.

    Raises:
        UserError: no pair, two images of one name, or two labels of one image.
    """
    files = [path for path in (file.relative_to(root) for file in files_below(root)) if RENDERED not in path.parts]
    pictures: dict[Key, str] = {}
    masks = []
    for path in files:
        if path.suffix.lower() not in PICTURE_SUFFIXES or path.stem.endswith(NO_LABELS):
            continue
        if any(LABEL_FOLDER.fullmatch(part) for part in path.parts[:-1]):
            masks.append(path)
        elif pictures.setdefault(_key(path), path.as_posix()) != path.as_posix():
            raise UserError(f"{root}: {path} and {pictures[_key(path)]} would share a label: rename one of them")
    bare_names = _by_bare_name(pictures)
    for key in list(pictures):  # a_mask.png beside a.jpg
        if any((*key[:-1], stem) in bare_names for stem in _without(key[-1], LABEL_ENDINGS)):
            masks.append(Path(pictures.pop(key)))

    json = (
        path
        for path in files
        if path.suffix.lower() == ".json"
        and is_labelme(os.path.join(root, path), if_damaged=_picture_of(path, bare_names) is not None)
    )
    for labels in (masks, json):
        found = _pair(root, pictures, labels)
        if any(partners.pairs for partners in found.values()):
            return found
    raise UserError(
        f"{root}: found {len(pictures)} images but no labels for them: keep labels under the images' names in "
        "a folder called labels, masks or annotations, as a_mask.png beside a.jpg, or as labelme's a.json"
    )


def _key(path: Path) -> Key:
    """(split, the folders that are left, the name)."""
    split, rest = "", []
    for part in path.parts[:-1]:
        if part.lower() in SPLITS:
            split = SPLITS[part.lower()]
        elif match := LABEL_FOLDER.fullmatch(part) or PICTURE_FOLDER.fullmatch(part):
            split = SPLITS.get((match["split"] or "").lower(), split)
        else:
            rest.append(part)
    return (split, *rest, path.stem)


def _without(stem: str, endings: tuple[str, ...]) -> list[str]:
    return [stem[: -len(ending)] for ending in endings if stem.endswith(ending)]


def _by_bare_name(pictures: dict[Key, str]) -> dict[Key, str]:
    """The images by their name with and, where no other has that name, without an ending like "_rgb"."""
    bare_names = {
        (*folders, bare): path
        for (*folders, stem), path in pictures.items()
        for bare in _without(stem, PICTURE_ENDINGS)
    }
    return bare_names | pictures


def _picture_of(label: Path, by_bare_name: dict[Key, str]) -> str | None:
    *folders, stem = _key(label)
    keys = [(*folders, name) for name in (stem, *_without(stem, LABEL_ENDINGS))]
    return next((by_bare_name[key] for key in keys if key in by_bare_name), None)


def _pair(root: str, pictures: dict[Key, str], labels: Iterable[Path]) -> dict[str, Partners]:
    by_bare_name = _by_bare_name(pictures)
    label_of: dict[str, str] = {}
    labels_alone = []
    for path in sorted(labels, key=lambda path: path.stem.endswith("_pseudo")):  # EISeg's grey masks before coloured
        picture = _picture_of(path, by_bare_name)
        if picture is None:
            labels_alone.append(path.as_posix())
        elif picture not in label_of:
            label_of[picture] = path.as_posix()
        elif not path.stem.endswith("_pseudo"):
            raise UserError(f"{root}: {picture} has two labels, {label_of[picture]} and {path}: remove one")

    divided = {"train", "val"} <= {split for (split, *_), picture in pictures.items() if picture in label_of}
    train = "train" if divided else UNDIVIDED
    found: dict[str, Partners] = defaultdict(lambda: Partners([], [], []))
    for (split, *_), picture in sorted(pictures.items(), key=lambda item: item[1]):
        partners = found[split if split == "test" or (split and divided) else train]
        if picture in label_of:
            partners.pairs.append((picture, label_of[picture]))
        else:
            partners.images_alone.append(picture)
    if labels_alone:
        found[train].labels_alone.extend(labels_alone)
    return found
