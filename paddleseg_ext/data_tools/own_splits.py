"""From the files in a stranger's folder to splits that can be checked: by lists, folders, or labels drawn from JSON."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from tqdm import tqdm

from paddleseg_ext.command import UserError
from paddleseg_ext.data_tools import labelme
from paddleseg_ext.data_tools.own_classes import own_classes
from paddleseg_ext.data_tools.own_pairing import RENDERED, UNDIVIDED, find_own_data
from paddleseg_ext.data_tools.splits import Split, find_splits
from paddleseg_ext.datasets.lists import SEPARATORS, SPLITS, guess_separator, list_in, read_list
from paddleseg_ext.datasets.pairing import Partners
from paddleseg_ext.files import below, open_picture, write_image


@dataclass
class OwnSplits:
    """What was found; labels that are drawn from JSON lie in `drawn`/`RENDERED`."""

    splits: list[Split]
    separator: str
    has_lists: bool = False
    drawn: str = ""
    drawn_from: dict[str, str] = field(default_factory=dict)  # label -> JSON


@contextmanager
def own_splits(root: str, num_classes: int | None) -> Iterator[OwnSplits]:
    """The data in `root`; labels that are drawn from JSON lie in a hidden folder there, which goes at the end.

    Raises:
        UserError: some lists are there, but not both of train and val; or see `find_own_data` and `own_classes`.
    """
    lists = {split: path for split in SPLITS if (path := list_in(root, split))}
    if {"train", "val"} <= lists.keys():
        yield _listed(root, num_classes, lists)
        return
    if lists:
        raise UserError(
            f"{next(iter(lists.values()))}: is used with both train.txt and val.txt beside it, and never overwritten: "
            "write what is missing, or remove this one"
        )
    found = find_own_data(root)
    if not any(label.endswith(".json") for partners in found.values() for _, label in partners.pairs):
        yield _found(root, num_classes, found)
        return
    with tempfile.TemporaryDirectory(prefix=".labels_", dir=os.path.abspath(root)) as drawn:
        yield _found(root, num_classes, found, drawn)


def _listed(root: str, num_classes: int | None, lists: dict[str, str]) -> OwnSplits:
    first = next((line for _, (line,) in read_list(lists["train"], "\n")), "")
    separator = guess_separator(first, root)
    lines = [fields for path in lists.values() for _, fields in read_list(path, separator)]
    classes = own_classes(root, num_classes, [os.path.join(root, line[1]) for line in lines if len(line) == 2])
    settings = {"type": "Dataset", "dataset_root": root, "separator": separator, "num_classes": len(classes)}
    settings["img_channels"] = _channels(root, [line[0] for line in lines])
    settings |= {f"{split}_path": path for split, path in lists.items()}
    splits = find_splits([{**settings, "mode": mode} for mode in ("train", "val")])
    for split in splits:
        split.classes = classes  # with the colours of a palette
    return OwnSplits(splits, separator, has_lists=True)


def _found(root: str, num_classes: int | None, found: dict[str, Partners], drawn: str = "") -> OwnSplits:
    pairs = [pair for partners in found.values() for pair in partners.pairs]
    images = [image for image, _ in pairs] + [image for partners in found.values() for image in partners.images_alone]
    labels = [label for _, label in pairs]
    names = sorted({*images, *labels})
    for name in names:
        try:
            below(root, name)
            if name != name.strip():
                raise ValueError(f"{name!r} begins or ends with white space, which PaddleSeg cuts off in lists")
        except ValueError as error:
            raise UserError(f"{root}: {error}: rename it") from error
    # `below` takes no tab, so that one separator is always left
    data = OwnSplits([], next(s for s in SEPARATORS if not any(s in name for name in names)), drawn=drawn)
    channels = _channels(root, images)
    paths = [os.path.join(root, label) for label in labels]
    annotations: dict[str, labelme.Annotation] = {}
    for path in paths if drawn else ():
        with suppress(UserError):  # which `_draw` meets again, and tells
            annotations[path] = labelme.Annotation(path)
    in_json = labelme.classes_of(annotations.values()) if drawn else None
    classes = own_classes(root, num_classes, paths, in_json)
    for name in (*SPLITS, UNDIVIDED):
        if name in found:
            split = Split(name, root, classes, channels)
            partners = _draw(data, split, found[name], annotations) if drawn else found[name]
            split.add(partners, labels_optional=name == "test")  # whose labels are often not given away
            data.splits.append(split)
    return data


def _channels(root: str, images: list[str]) -> int:
    return 1 if all(_is_grey(os.path.join(root, image)) for image in images) else 3


def _is_grey(path: str) -> bool:
    try:
        with open_picture(path) as picture:
            return picture.mode == "L"
    except (OSError, ValueError):  # broken, which the check says
        return True


def _draw(data: OwnSplits, split: Split, partners: Partners, annotations: dict[str, labelme.Annotation]) -> Partners:
    """`partners` with labels drawn from their JSON; `split` complains of JSON that gives none."""
    index_of, unpainted = labelme.numbering(split.classes.names)
    pairs = []
    for image, json in tqdm(partners.pairs, desc="drawing labels", unit="image"):
        path = os.path.join(split.root, json)
        label = os.path.join(data.drawn, RENDERED, Path(image).with_suffix(".png"))
        try:
            annotation = annotations.get(path) or labelme.Annotation(path)
            with open_picture(os.path.join(split.root, image)) as picture:
                size = picture.size
            write_image(label, annotation.draw(size, index_of, unpainted))
        except (UserError, ValueError, OSError) as error:
            split.complain("label_shapes", path, str(error).removeprefix(f"{path}: "))
        else:
            pairs.append((image, label))
            data.drawn_from[label] = path
    return replace(partners, pairs=pairs)
