"""Predictions to what the Cityscapes server takes: a ZIP with one PNG of label ids per image of a split.

Rules of https://www.cityscapes-dataset.com/submit: names start with ``<city>_<sequence>_<frame>``, sizes are those of
the images, values are label ids, not train ids.
"""

from __future__ import annotations

import copy
import io
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from paddleseg_ext.command import UserError, one_line
from paddleseg_ext.datasets.cityscapes_classes import CLASSES, LABEL_IDS, train_ids_to_label_ids
from paddleseg_ext.datasets.lists import files_below
from paddleseg_ext.files import open_picture

SCENE_NAME = re.compile(r"^[A-Za-z-]+_\d{6}_\d{6}(?!\d)")
ARCHIVE = "submission.zip"
FOLDER = "submission"


@dataclass(frozen=True)
class Scene:
    """An image of a split; `name` is its <city>_<sequence>_<frame>."""

    name: str
    image: Path
    label: Path
    """The file of its label ids, which the test split does not have."""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height), from the head of the file."""
        try:
            with open_picture(str(self.image)) as picture:
                return picture.size
        except ValueError as error:
            raise UserError(f"{self.image}: {error}") from error

    @property
    def file_name(self) -> str:
        """What its prediction is called in the archive."""
        return f"{self.name}_pred_labelIds.png"


def find_scenes(root: str, split: str) -> list[Scene]:
    """The images of a split, by name.

    Raises:
        UserError: there is none, or one is not named as Cityscapes names them.
    """
    scenes = []
    for image in sorted(Path(root, "leftImg8bit", split).glob("*/*_leftImg8bit.png"), key=lambda path: path.name):
        name = image.name.removesuffix("_leftImg8bit.png")
        if not SCENE_NAME.fullmatch(name):
            raise UserError(f"{image}: is not named <city>_<6 digits>_<6 digits>_leftImg8bit.png")
        scenes.append(Scene(name, image, Path(root, "gtFine", split, image.parent.name, f"{name}_gtFine_labelIds.png")))
    if not scenes:
        raise UserError(f"{root}: found no leftImg8bit/{split}/<city>/*_leftImg8bit.png; is it the data set's root?")
    return scenes


def read_predictions(folder: str, scenes: list[Scene]) -> Iterable[np.ndarray]:
    """The train ids (H, W) that a folder, searched with its sub-folders, holds for each scene, in their order.

    PaddleSeg's ``pseudo_color_prediction`` is such a folder: a palette PNG holds the train ids themselves.

    Raises:
        UserError: no such folder; a scene has no prediction or several, a prediction belongs to no scene, has not the
            size of its image, or holds other than train ids; names the file.
    """
    if not os.path.isdir(folder):
        raise UserError(f"--predictions {folder}: there is no such folder: fix the path")
    of_scene: dict[str, list[Path]] = {scene.name: [] for scene in scenes}
    strangers: list[Path] = []
    for path in (path for path in files_below(folder) if path.suffix.lower() == ".png"):
        match = SCENE_NAME.match(path.name)
        of_scene.get(match.group() if match else "", strangers).append(path)
    if strangers:
        raise UserError(f"{strangers[0]}: belongs to no image of the split ({len(strangers)} such files): remove it")
    missing = [name for name, paths in of_scene.items() if not paths]
    if missing:
        raise UserError(f"{folder}: {len(missing)} of {len(scenes)} images have no prediction, e.g. {missing[0]}*.png")
    for name, paths in of_scene.items():
        if len(paths) > 1:
            raise UserError(f"{name} has {len(paths)} predictions, {paths[0]} and {paths[1]}: give the folder of one")
    return (_read_train_ids(of_scene[scene.name][0], scene.size) for scene in scenes)


def _read_train_ids(path: Path, size: tuple[int, int]) -> np.ndarray:
    mode, train_ids = _decode(str(path), path)
    if mode not in ("L", "P"):
        raise UserError(f"{path}: an image of mode {mode}, expected 8-bit grey or palette with train ids 0 to 18")
    _check_size(path, train_ids, size)
    if train_ids.max() >= len(CLASSES):
        hint = "; these look like label ids already" if np.isin(train_ids, LABEL_IDS).all() else ""
        raise UserError(f"{path}: holds {train_ids.max()}, expected train ids 0 to 18{hint}")
    return train_ids


def _check_size(name: str | Path, ids: np.ndarray, size: tuple[int, int]) -> None:
    if ids.shape != size[::-1]:
        raise UserError(f"{name}: is {ids.shape[1]} x {ids.shape[0]}, its image {size[0]} x {size[1]}")


def _decode(file: str | io.BytesIO, name: str | Path) -> tuple[str, np.ndarray]:
    """The mode and the pixels of an image; `name` is what an error calls it."""
    try:
        with open_picture(file) as picture:
            return picture.mode, np.asarray(picture)
    except PermissionError:
        raise
    except Exception as error:  # whatever a codec makes of a broken file
        raise UserError(f"{name}: not an image that can be read: {one_line(error)}") from error


def make_submission(scenes: list[Scene], predictions: Iterable[np.ndarray], save_dir: str) -> Path:
    """Write predictions as label ids into `save_dir`/submission, and from there a checked archive.

    Args:
        scenes: of the split.
        predictions: the train ids (H, W) of each, in their order.
        save_dir: folder for the results; its submission folder and archive are replaced at the end.

    Returns:
        The archive's path.

    Raises:
        UserError: a prediction has not the size of its image.
    """
    os.makedirs(save_dir, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".submission_", dir=save_dir) as made:
        folder, archive = Path(made, FOLDER), Path(made, ARCHIVE)
        folder.mkdir()
        for scene, train_ids in zip(tqdm(scenes, desc="label ids", unit="image"), predictions):
            Image.fromarray(train_ids_to_label_ids(train_ids)).save(folder / scene.file_name)
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:  # PNGs are compressed
            for path in sorted(folder.iterdir()):
                file.write(path, path.name)
        check_submission(archive, scenes)
        shutil.rmtree(Path(save_dir, FOLDER), ignore_errors=True)
        for path in (folder, archive):
            os.replace(path, Path(save_dir, path.name))
    return Path(save_dir, ARCHIVE)


def check_submission(archive: str | Path, scenes: list[Scene]) -> None:
    """Check an archive as the server does: the number of files, and name, size and ids of each.

    Raises:
        UserError: names what is wrong.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            names = file.namelist()
            if len(names) != len(scenes):
                raise UserError(f"{archive}: holds {len(names)} files, expected {len(scenes)}, one per image")
            scene_of = {scene.name: scene for scene in scenes}
            for name in tqdm(names, desc="checking", unit="image"):
                scene_name = SCENE_NAME.match(os.path.basename(name))
                scene = scene_of.pop(scene_name.group(), None) if scene_name else None
                if scene is None or not name.endswith(".png"):
                    raise UserError(f"{archive}: {name} is not <city>_<sequence>_<frame>*.png of one more image")
                _check_label_ids(f"{archive}: {name}", file.read(name), scene.size)
    except zipfile.BadZipFile as error:
        raise UserError(f"{archive}: {error}") from error


def _check_label_ids(name: str, png: bytes, size: tuple[int, int]) -> None:
    mode, label_ids = _decode(io.BytesIO(png), name)
    if mode != "L":
        raise UserError(f"{name}: an image of mode {mode}, expected 8-bit grey")
    _check_size(name, label_ids, size)
    unknown = np.setdiff1d(label_ids, LABEL_IDS)
    if unknown.size:
        raise UserError(f"{name}: holds {unknown.tolist()}, expected the label ids {list(LABEL_IDS)}")


def official_evaluation(scenes: list[Scene]):
    """The module of cityscapesscripts that `score` needs.

    Raises:
        UserError: it is not installed, or a scene has no label.
    """
    missing = [scene.label for scene in scenes if not scene.label.is_file()]
    if missing:
        raise UserError(f"{missing[0]}: there is no such label ({len(missing)} of {len(scenes)}); score on val")
    try:
        from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling
    except ImportError as error:
        raise UserError("--score needs cityscapesscripts: pip install 'paddleseg_ext[cityscapes]'") from error
    return evalPixelLevelSemanticLabeling


def score(evaluation, scenes: list[Scene], save_dir: str) -> dict[str, float]:
    """The IoU of each class and their "mean" by the `official_evaluation`, of what `make_submission` wrote.

    Absent classes are nan and left out of the mean.
    """
    settings = copy.copy(evaluation.args)
    settings.evalInstLevelScore = settings.JSONOutput = False
    settings.quiet = True
    predictions = [str(Path(save_dir, FOLDER, scene.file_name)) for scene in scenes]
    results = evaluation.evaluateImgLists(predictions, [str(scene.label) for scene in scenes], settings)
    return {**{name: results["classScores"][name] for name in CLASSES}, "mean": results["averageScoreClasses"]}
