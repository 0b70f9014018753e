"""File lists as PaddleSeg has them, and the images that a flag names: a file, a folder or a list."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from paddleseg_ext.command import UserError
from paddleseg_ext.files import PICTURE_SUFFIXES, below

SPLITS = ("train", "val", "test")
SEPARATORS = (" ", ",", "\t", "|")
"""What may stand between image and label in a list, the usual one first."""


def list_in(root: str | Path, split: str) -> str | None:
    """The file list of a split in `root`, under its usual name."""
    path = os.path.join(root, f"{split}.txt")
    return path if os.path.isfile(path) else None


def read_list(path: str | Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    """The line numbers and fields of a file list; bytes that are no UTF-8 are left for `below` to refuse.

    Empty lines and a byte order mark, which editors leave behind, are skipped.
    """
    with open(path, encoding="utf-8-sig", errors="surrogateescape") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield number, line.strip().split(separator)


def read_pairs(
    path: str | Path, root: str | Path, separator: str, labels_optional: bool = False
) -> Iterator[list[str]]:
    """The files of each line of a list: an image and a label, or an image alone if `labels_optional`.

    Names are relative to `root`, or absolute; as PaddleSeg has it, files may lie outside of `root`.

    Raises:
        ValueError: a line has another number of fields, or a field is not the name of a file; names list and line.
    """
    for number, fields in read_list(path, separator):
        try:
            if len(fields) != 2 and not (labels_optional and len(fields) == 1):
                raise ValueError(
                    f"{len(fields)} fields separated by {separator!r}, expected image{separator}label: fix the line; "
                    "for names that hold it, write the list with another one and set `separator` in the YAML"
                )
            files = [below(root, name, outside=True) for name in fields]
            for name, file in zip(fields, files):
                if "\\" in name and not os.path.isfile(file):
                    raise ValueError(f"{name}: there is no such file: write / instead of \\")
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
        yield files


def read_images(path: str, outside: bool = False) -> Iterator[list[str]]:
    """The image, and the label if one is named, of each line of a list with any of `SEPARATORS`.

    Names are relative to the list's folder, or absolute. Labels, which not every use of a list needs, may be missing.

    Args:
        outside: whether files may lie outside of the list's folder.

    Raises:
        UserError: a line names no image that is there; names list and line.
    """
    folder = os.path.dirname(path)
    for number, (line,) in read_list(path, "\n"):
        names = [line]
        if not os.path.isfile(os.path.join(folder, line)):
            image, *others = _fields(line, guess_separator(line, folder)) or [line]
            if os.path.isfile(os.path.join(folder, image)) or image.lower().endswith(PICTURE_SUFFIXES):
                names = [image, *others[:1]]  # otherwise the line is the name of one image, with spaces in it
        try:
            for name in names:
                below(folder, name, outside)
            if not os.path.isfile(os.path.join(folder, names[0])):
                hint = "write / instead of \\" if "\\" in names[0] else "fix the line or add the file"
                raise ValueError(f"{names[0]}: there is no such file: {hint}")
        except ValueError as error:
            raise UserError(f"{path}, line {number}: {error}") from error
        yield [os.path.join(folder, name) for name in names]


def guess_separator(line: str, root: str) -> str:
    """The one of `SEPARATORS` that stands between image and label in a list's line, as the files in `root` tell."""

    def likelihood(separator: str) -> tuple[int, bool]:
        fields = _fields(line, separator)
        return sum(os.path.isfile(os.path.join(root, name)) for name in fields[:2]), len(fields) == 2

    return max(SEPARATORS, key=likelihood)


def _fields(line: str, separator: str) -> list[str]:
    return [field.strip() for field in line.split(separator) if field.strip()]


def list_images(path: str | None, flag: str = "--image_path", outside: bool = False) -> tuple[list[str], str | None]:
    """An image, the images of a folder and those below it, or those of a list file, sorted; and their folder.

    Args:
        outside: whether a list may name files outside of its own folder. Results of `predict` get the same relative
            names, which would be outside of its `save_dir` then.

    Returns:
        The paths, and the folder that results are named relative to (None for a single image).

    Raises:
        UserError: there is no such file or folder, no image in it, neither an image nor a list, or a line of a list
            names none that is there.
    """
    if path is None or not os.path.exists(path):
        raise UserError(f"{flag} {path}: give it an image, a folder of images or a list of images")
    if os.path.isdir(path):
        files = (file for file in files_below(path) if file.suffix.lower() in PICTURE_SUFFIXES and file.is_file())
        images = sorted(map(str, files))
        if not images:
            raise UserError(f"{flag} {path}: holds no images ({', '.join(PICTURE_SUFFIXES)})")
        return images, path
    if path.lower().endswith(PICTURE_SUFFIXES):
        return [path], None
    with open(path, "rb") as file:
        if b"\0" in file.read(1024):
            kinds = ", ".join(PICTURE_SUFFIXES)
            raise UserError(f"{flag} {path}: neither an image ({kinds}) nor a list in UTF-8: convert it")
    images = sorted(image for image, *_ in read_images(path, outside))
    if not images:
        raise UserError(f"{flag} {path}: an empty list: write the path of an image on each line")
    return images, os.path.dirname(path)


def files_below(root: str | Path) -> Iterator[Path]:
    """All files in a folder and in those below it, links to folders included, but nothing hidden."""
    above: dict[str, tuple[str, ...]] = {os.fspath(root): (os.path.realpath(root),)}
    for folder, folders, names in os.walk(root, followlinks=True):
        inside = above.pop(folder)
        real = {name: os.path.realpath(os.path.join(folder, name)) for name in folders if not name.startswith(".")}
        folders[:] = sorted(name for name in real if real[name] not in inside)  # a link back up would never end
        above.update({os.path.join(folder, name): (*inside, real[name]) for name in folders})
        yield from (Path(folder, name) for name in sorted(names) if not name.startswith("."))
