"""From the files in a stranger's folder to splits that can be checked: by lists, folders, or labels drawn from JSON."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from paddleseg.datasets import Dataset
from tqdm import tqdm

from paddleseg_ext.command import UserError
from paddleseg_ext.data_tools import labelme
from paddleseg_ext.data_tools.own_data import OwnData, find_own_data
from paddleseg_ext.data_tools.splits import Sample, Split, find_splits, new_split
from paddleseg_ext.datasets.description import CLASSES_FILE, read_classes
from paddleseg_ext.datasets.lists import SEPARATORS, SPLITS, guess_separator, list_in, read_list
from paddleseg_ext.datasets.palettes import UNKNOWN
from paddleseg_ext.files import below, open_picture, write_image

UNDIVIDED = "all"


@dataclass
class OwnSplits:
    """What was found; `drawn_from`: label file -> the JSON that it was drawn from; `names` are known from JSON only."""

    splits: list[Split]
    separator: str
    has_lists: bool = False
    names: tuple[str, ...] | None = None
    drawn_from: dict[str, str] = field(default_factory=dict)


@contextmanager
def own_splits(root: str) -> Iterator[OwnSplits]:
    """The data in `root`; labels that are drawn from JSON lie in a hidden folder there, which goes at the end.

    Raises:
        UserError: some lists are there, but not both of train and val.
    """
    lists = {split: path for split in SPLITS if (path := list_in(root, split))}
    if {"train", "val"} <= lists.keys():
        yield _listed(root, lists["train"])
        return
    if lists:
        raise UserError(
            f"{next(iter(lists.values()))}: is used with both train.txt and val.txt beside it, and never overwritten: "
            "write what is missing, or remove this one"
        )
    own = find_own_data(root)
    drawn = tempfile.mkdtemp(prefix=".labels_", dir=root) if own.is_labelme else None
    try:
        yield _found(root, own, drawn)
    finally:
        if drawn is not None:
            shutil.rmtree(drawn, ignore_errors=True)


def _listed(root: str, train_list: str) -> OwnSplits:
    lists = {f"{split}_path": list_in(root, split) for split in SPLITS}
    first = next((line for _, (line,) in read_list(train_list, "\n")), "")
    separator = guess_separator(first, root)
    settings = {"type": "Dataset", "dataset_root": root, "separator": separator, **lists, **_any_classes(root)}
    return OwnSplits(find_splits([{**settings, "mode": mode} for mode in ("train", "val")]), separator, has_lists=True)


def _any_classes(root: str) -> dict:
    """Of a data set whose labels have not been looked into."""
    return {} if os.path.isfile(os.path.join(root, CLASSES_FILE)) else {"num_classes": UNKNOWN - 1}


def _found(root: str, own: OwnData, drawn: str | None) -> OwnSplits:
    divided = {"train", "val"} <= {split for split, *_ in own.pairs}
    images = [image for _, image, *_ in (*own.pairs, *own.pictures_alone)]
    names = sorted({*images, *(label for *_, label in own.pairs)})
    for name in names:
        try:
            below(root, name)
        except ValueError as error:
            raise UserError(f"{root}: {error}: rename it") from error
    # `below` takes no tab, so that one separator is always left
    data = OwnSplits([], next(s for s in SEPARATORS if not any(s in name for name in names)))
    channels = 1 if all(_is_grey(os.path.join(root, image)) for image in images) else 3

    def split_of(name: str) -> Split:
        name = name if (divided and name) or name == "test" else "train" if divided else UNDIVIDED
        known = next((split for split in data.splits if split.name == name), None)
        if known is None:
            settings = {"dataset_root": root, "img_channels": channels, **_any_classes(root)}
            data.splits.append(known := new_split(Dataset, settings, name))
        return known

    labels = _draw(root, own, drawn, data, split_of) if drawn else {}
    for split_name, picture, label in sorted(own.pairs, key=lambda pair: pair[1]):
        split = split_of(split_name)
        if not drawn or picture in labels:
            label = labels.get(picture) or os.path.join(root, label)
            split.samples.append(Sample(os.path.join(root, picture), label, len(split.samples)))
    for split_name, picture in own.pictures_alone:
        split = split_of(split_name)
        if split.name == "test":  # whose labels are often not given away
            split.samples.append(Sample(os.path.join(root, picture), None, len(split.samples)))
        else:
            split.complain("label_missing", os.path.join(root, picture), "the image has no label")
    for label in own.labels_alone:
        split_of("").complain("image_missing", os.path.join(root, label), "the label has no image")
    data.splits.sort(key=lambda split: (*SPLITS, UNDIVIDED).index(split.name))
    return data


def _is_grey(path: str) -> bool:
    try:
        with open_picture(path) as picture:
            return picture.mode == "L"
    except (OSError, ValueError):  # broken, which the check says
        return True


def _draw(root: str, own: OwnData, drawn: str, data: OwnSplits, split_of) -> dict[str, str]:
    """Image -> the label that was drawn from its JSON into the folder `drawn`."""
    annotations, labels = {}, {}
    for split_name, picture, path in own.pairs:
        try:
            annotations[picture] = labelme.Annotation(os.path.join(root, path))
        except UserError as error:
            _complain(split_of(split_name), os.path.join(root, path), error)
    classes = os.path.join(root, CLASSES_FILE)
    data.names = read_classes(classes)[0] if os.path.isfile(classes) else labelme.classes_of(annotations.values())
    index_of, unpainted = labelme.numbering(data.names)
    for split_name, picture, path in tqdm(own.pairs, desc="drawing labels", unit="image"):
        if picture not in annotations:
            continue
        target = os.path.join(drawn, str(Path(picture).with_suffix(".png")))
        try:
            with open_picture(os.path.join(root, picture)) as image:
                size = image.size
            write_image(target, annotations[picture].draw(size, index_of, unpainted))
        except (UserError, ValueError, OSError) as error:
            _complain(split_of(split_name), os.path.join(root, path), error)
        else:
            labels[picture] = target
            data.drawn_from[target] = os.path.join(root, path)
    return labels


def _complain(split: Split, path: str, error: Exception) -> None:
    split.complain("label_shapes", path, str(error).removeprefix(f"{path}: "))
