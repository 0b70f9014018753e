"""Mistakes in data that show in the middle of a training: one line with the file, the value and the fix."""

import re

import cv2
import numpy as np
import pytest
from picture_support import write_config, write_dataset
from PIL import Image

from paddleseg_ext.builder import Builder, load_config
from paddleseg_ext.command import UserError, one_line
from paddleseg_ext.data_tools.sample_errors import name_files_in_errors
from paddleseg_ext.data_tools.splits import find_splits
from paddleseg_ext.datasets.lists import list_images


@pytest.fixture
def data(tmp_path):
    folder = write_dataset(tmp_path / "data", count=2, size=(16, 12))
    write_config(folder)
    return folder


def datasets(data):
    builder = Builder(load_config(str(data / "config.yml")))
    return builder.train_dataset, builder.val_dataset


def rotated(data):
    path = data / "images/p1.png"
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down: sizes fit, pixels do not
    Image.open(path).save(path, exif=exif)


def save(array):
    return lambda data: Image.fromarray(array).save(data / "labels/p1.png")


CLASSES = np.zeros((12, 16), np.uint8)
TRAPS = {
    "out of range": (save(CLASSES + np.uint8(200)), "labels/p1.png: .* (200, where classes are 0 to 3)"),
    "RGB": (save(np.zeros((12, 16, 3), np.uint8)), "labels/p1.png: The label is a colour image"),
    "16 bits": (save(CLASSES.astype(np.uint16)), "labels/p1.png: The label has more than 8 bits"),
    "1 bit": (save(CLASSES == 0), "labels/p1.png: .* (1-bit: save it as 8-bit grey,"),
    "rotated": (rotated, "images/p1.png: The image has an EXIF rotation"),
    "other size": (save(CLASSES[:-1]), "labels/p1.png: 16x11 pixels, but its image"),
}


@pytest.mark.parametrize("trap", TRAPS)
def test_a_wrong_file_is_named_before_the_loss(trap, data):
    plant, message = TRAPS[trap]
    plant(data)
    for dataset in datasets(data):
        assert dataset[0]["img"].shape == (3, 12, 16)
        with pytest.raises(UserError) as error:
            dataset[1]
        assert re.search(message.replace("(", r"\(").replace(")", r"\)"), str(error.value))
        if trap != "other size":
            assert str(error.value).endswith("tools/check_dataset.py finds all such files")


def test_opencvs_errors_say_what_is_wrong():
    with pytest.raises(cv2.error) as error:
        cv2.resize(CLASSES == 0, (2, 2))
    assert one_line(error.value).startswith("src data type = ")


def test_ignored_pixels_and_palettes_are_no_mistake(data):
    label = Image.fromarray(np.where(CLASSES == 0, 255, 0).astype(np.uint8))
    label.putpalette(list(range(256)) * 3)
    label.save(data / "labels/p1.png")
    for dataset in datasets(data):
        assert (dataset[1]["label"] == 255).all()


def test_data_sets_that_change_the_values_are_left_alone(tmp_path):
    """ADE20K's files are numbered from 1 to 150, and its class subtracts 1."""
    from paddleseg.datasets import ADE20K

    for folder in ("images/training", "annotations/training"):
        (tmp_path / folder).mkdir(parents=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (12, 16, 3), np.uint8)).save(
        tmp_path / "images/training/a.jpg"
    )
    Image.fromarray(CLASSES + np.uint8(150)).save(tmp_path / "annotations/training/a.png")
    dataset = name_files_in_errors(ADE20K([], str(tmp_path), "train"))
    assert (dataset[0]["label"] == 149).all()


def test_empty_lines_and_a_byte_order_mark_are_accepted(data):
    listed = (data / "val.txt").read_text()
    (data / "val.txt").write_bytes(b"\xef\xbb\xbf\n" + listed.replace("\n", "\r\n\r\n").encode())
    for dataset in datasets(data):
        assert len(dataset) == 2 and dataset[0]["img"].shape == (3, 12, 16)
    settings = {"type": "Dataset", "dataset_root": str(data), "mode": "val", "num_classes": 4}
    (split,) = find_splits([{**settings, "val_path": str(data / "val.txt")}])
    assert len(split.samples) == 2 and not split.problems
    pictures, _ = list_images(str(data / "val.txt"))
    assert pictures == [str(data / f"images/p{i}.png") for i in range(2)]


@pytest.mark.parametrize(
    "line, message",
    [
        (r"images\p1.png labels\p1.png", r"line 3: images\\p1.png: there is no such file: write / instead of"),
        ("images/my p1.png labels/p1.png", "line 3: 3 fields .* set `separator` in the YAML"),
    ],
)
def test_lists_from_elsewhere(line, message, data):
    with open(data / "val.txt", "a") as file:
        file.write(line + "\n")
    with pytest.raises(Exception) as error:
        datasets(data)
    assert re.search(message, str(error.value.__context__ or error.value)) or re.search(message, str(error.value))
