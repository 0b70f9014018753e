"""Which label belongs to which image: the folders of known data sets, and file lists made of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from paddleseg_ext.command import UserError
from paddleseg_ext.datasets.lists import SPLITS, files_below
from paddleseg_ext.datasets.mat_file import read_mat
from paddleseg_ext.files import NOT_IN_NAMES, write_whole

IMAGE_FORMATS = ("png", "jpg", "jpeg", "bmp")


@dataclass(frozen=True)
class Layout:
    """Where a data set keeps the images and labels of a split.

    Attributes:
        images, labels: folders below the root, searched with their sub-folders; ``{split}`` is train, val or test.
        image_postfixes, label_postfixes: ends of file names. Partners have the same relative path when the first
            postfix that fits is cut off; files that no postfix fits do not belong to the data set.
        image_formats, label_formats: suffixes of file names, without dot.
        splits: for folders that hold all splits: (root, names) -> the split of each name.
    """

    images: str
    labels: str
    image_postfixes: tuple[str, ...] = ("",)
    label_postfixes: tuple[str, ...] = ("",)
    image_formats: tuple[str, ...] = IMAGE_FORMATS
    label_formats: tuple[str, ...] = ("png",)
    splits: Callable[[Path, list[str]], dict[str, str]] | None = None

    def folders(self, root: str | Path, split: str) -> tuple[Path, Path]:
        return Path(root, self.images.replace("{split}", split)), Path(root, self.labels.replace("{split}", split))


@dataclass(frozen=True)
class Partners:
    """The files of a split, as paths relative to the root, sorted."""

    pairs: list[tuple[str, str]]
    images_alone: list[str]
    labels_alone: list[str]

    @property
    def unlabelled(self) -> bool:
        return not self.pairs and not self.labels_alone


def find_partners(root: str | Path, layout: Layout, split: str) -> Partners:
    """Pair the images and labels of a split by name; raises `UserError` for two images, or labels, of one name."""
    image_folder, label_folder = layout.folders(root, split)
    images = _find_files(image_folder, layout.image_postfixes, layout.image_formats)
    labels = _find_files(label_folder, layout.label_postfixes, layout.label_formats)
    names = sorted(images.keys() | labels.keys())
    if layout.splits is not None:
        split_of = layout.splits(Path(root), names)
        names = [name for name in names if split_of[name] == split]

    def relative(path: Path) -> str:
        return path.relative_to(root).as_posix()

    return Partners(
        pairs=[(relative(images[n]), relative(labels[n])) for n in names if n in images and n in labels],
        images_alone=[relative(images[n]) for n in names if n not in labels],
        labels_alone=[relative(labels[n]) for n in names if n not in images],
    )


def _find_files(folder: Path, postfixes: tuple[str, ...], formats: tuple[str, ...]) -> dict[str, Path]:
    """Relative path without postfix and suffix -> file."""
    files: dict[str, Path] = {}
    for path in sorted(files_below(folder)):
        if path.suffix[1:].lower() not in formats:
            continue
        postfix = next((postfix for postfix in postfixes if path.stem.endswith(postfix)), None)
        if postfix is not None:
            name = path.relative_to(folder).with_name(path.stem[: len(path.stem) - len(postfix)]).as_posix()
            if files.setdefault(name, path) != path:
                raise UserError(f"{files[name]} and {path} are both called {name}: rename or remove one")
    return files


def find_layout(root: str | Path, type_: str) -> Layout:
    """The one of `LAYOUTS[type_]` whose image and label folders are there.

    Raises:
        UserError: none is; names the folders that are looked for.
    """
    for layout in LAYOUTS[type_]:
        if any(image.is_dir() and label.is_dir() for image, label in (layout.folders(root, s) for s in SPLITS)):
            return layout
    expected = " or ".join(f"{layout.images} with {layout.labels}" for layout in LAYOUTS[type_])
    raise UserError(f"{root}: found no folders {expected.replace('{split}', 'train')}")


def folder_layout(folders: list[str], postfixes: list[str], formats: list[str]) -> Layout:
    """PaddleSeg's custom folders: <images>/<split> and <labels>/<split>; each argument is (of images, of labels)."""
    (images, labels), (image_postfix, label_postfix), (image_format, label_format) = folders, postfixes, formats
    return Layout(
        f"{images}/{{split}}",
        f"{labels}/{{split}}",
        image_postfixes=(image_postfix,),
        label_postfixes=(label_postfix,),
        image_formats=(image_format.lower().lstrip("."),),
        label_formats=(label_format.lower().lstrip("."),),
    )


def write_lists(root: str, layout: Layout, splits: Iterable[str], separator: str) -> tuple[dict[str, int], list[str]]:
    """Write <split>.txt into `root` for each split that has images.

    A test split without any label gives lines of an image alone.

    Returns:
        The number of lines of each file that was written, and a complaint for each file without partner.

    Raises:
        UserError: a file name cannot stand in a list, or holds the separator; nothing is written then.
    """
    texts, without_partner = {}, []
    for split in splits:
        rows: Sequence[tuple[str, ...]]
        partners = find_partners(root, layout, split)
        if split.startswith("test") and partners.unlabelled:
            rows = [(image,) for image in partners.images_alone]
        else:
            rows = partners.pairs
            without_partner += [f"{image}: has no label" for image in partners.images_alone]
            without_partner += [f"{label}: has no image" for label in partners.labels_alone]
        for name in (name for row in rows for name in row):
            if NOT_IN_NAMES.search(name):
                raise UserError(f"{root}: {name!r} is not in UTF-8, or holds control characters: rename it")
            if separator in name:
                raise UserError(
                    f"{name}: this name holds the separator {separator!r}: choose another --separator, a comma for "
                    "example, and set it as `separator` of the data sets in the YAML"
                )
        if rows:
            texts[os.path.join(root, f"{split}.txt")] = "".join(f"{separator.join(row)}\n" for row in rows)
    for path, text in texts.items():
        write_whole(path, text)
    return {path: text.count("\n") for path, text in texts.items()}, without_partner


def _camvid_splits(root: Path, names: list[str]) -> dict[str, str]:
    """The 367 / 101 / 233 images of SegNet's split, which cuts CamVid's four sequences by frame number."""

    def split(name: str) -> str:
        sequence, _, frame = name.rpartition("/")[2].partition("_")
        digits = frame.lstrip("f")
        number = int(digits) if digits.isdigit() else 0
        if sequence == "Seq05VD" or (sequence == "0001TP" and number > 8520):
            return "test"
        return "val" if sequence == "0016E5" and 7959 <= number <= 8159 else "train"

    return {name: split(name) for name in names}


def _gtav_splits(root: Path, names: list[str]) -> dict[str, str]:
    """The published split (split.mat) if it is in `root`; else half, a quarter and a quarter of the drive.

    Whole stretches, because neighbouring frames show the same place.
    """
    published = root / "split.mat"
    if published.is_file():
        try:
            ids = read_mat(str(published))
            of_id = {f"{int(i):05d}": split for split in SPLITS for i in ids[f"{split}Ids"]}
        except Exception as error:  # whatever damage does to MATLAB's format
            raise UserError(f"{published}: not the published split: download it again or remove it") from error
        return {name: of_id.get(name.rpartition("/")[2], "") for name in names}
    quarter = len(names) / 4
    return {name: SPLITS[max(0, int(i / quarter) - 1)] for i, name in enumerate(names)}


LAYOUTS: dict[str, tuple[Layout, ...]] = {
    "cityscapes": (
        Layout(
            "leftImg8bit/{split}",
            "gtFine/{split}",
            image_postfixes=("_leftImg8bit",),
            label_postfixes=("_gtFine_labelTrainIds",),
            image_formats=("png",),
        ),
    ),
    "camvid": (
        Layout("{split}", "{split}annot"),
        Layout("{split}", "{split}_labels", label_postfixes=("_L", "")),
        Layout("images/{split}", "labels/{split}", label_postfixes=("_L", "")),
        Layout("images", "labels", label_postfixes=("_L", ""), splits=_camvid_splits),
        Layout("701_StillsRaw_full", "LabeledApproved_full", label_postfixes=("_L", ""), splits=_camvid_splits),
    ),
    "gtav": (Layout("images/{split}", "labels/{split}"), Layout("images", "labels", splits=_gtav_splits)),
}
