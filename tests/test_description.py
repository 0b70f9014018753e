from pathlib import Path

import numpy as np
import pytest
from paddleseg.datasets import Dataset
from picture_support import run_tool, write_config, write_dataset

from paddleseg_ext import CamVid, datasets
from paddleseg_ext.command import UserError
from paddleseg_ext.datasets.description import classes_text, describe, read_classes

DEFAULT = [[128, 0, 0], [0, 128, 0], [128, 128, 0]]


@pytest.mark.parametrize(
    "text, names, colours",
    [
        ("road\ntraffic light\n", ["road", "traffic light"], DEFAULT[:2]),
        ("\ufeffroad 1 2 3\r\n\r\ntraffic light 4 5 6", ["road", "traffic light"], [[1, 2, 3], [4, 5, 6]]),
        ("class 0\nclass 1 9 9 9\n", ["class 0", "class 1"], [[128, 0, 0], [9, 9, 9]]),
        ("lane 2\n4 5 6\n", ["lane 2", "4 5 6"], DEFAULT[:2]),
        ("__ignore__\n_background_\ncar\n", ["_background_", "car"], DEFAULT[:2]),
        ("1 road 1 2 3 \n2 car 4 5 6 \n", ["background", "road", "car"], [[128, 0, 0], [1, 2, 3], [4, 5, 6]]),
        ("0 road\n1 car\n", ["road", "car"], DEFAULT[:2]),
        ("天空 7 8 9\n", ["天空"], [[7, 8, 9]]),
    ],
)
def test_classes_txt(text, names, colours, tmp_path):
    path = tmp_path / "classes.txt"
    path.write_bytes(text.encode())
    read, read_colours = read_classes(str(path))
    assert list(read) == names and read_colours.tolist() == colours
    path.write_text(classes_text(read, read_colours), encoding="utf-8")
    again, again_colours = read_classes(str(path))
    assert again == read
    np.testing.assert_array_equal(again_colours, read_colours)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "holds no class"),
        (b"\n \n", "holds no class"),
        (b"car\nroad\ncar 1 2 3\n", "two classes are called 'car'"),
        (b"\xff\xfe", "not a text in UTF-8"),
        (b"car\n\nsky,128,64,128\n", "line 3: sky,128,64,128: write `name` or `name R G B`"),
        (b"type 1 2 300\n", "line 1: type 1 2 300: write"),
        (b"house 1, 2, 3\n", "line 1: house 1, 2, 3: write"),
    ],
)
def test_damaged_classes_txt(content, message, tmp_path):
    (tmp_path / "classes.txt").write_bytes(content)
    with pytest.raises(UserError, match=f"classes.txt[:,] {message}"):
        read_classes(str(tmp_path / "classes.txt"))


def test_the_number_of_classes_must_fit(tmp_path):
    (tmp_path / "classes.txt").write_text("a\nb\n")
    assert describe(Dataset, {"dataset_root": str(tmp_path)}).names == ("a", "b")
    with pytest.raises(UserError, match="classes.txt: names 2 classes, but num_classes is 3"):
        describe(Dataset, {"dataset_root": str(tmp_path), "num_classes": 3})
    assert len(describe(CamVid, {"dataset_root": str(tmp_path)}).names) == 11  # it has names of its own


def test_names_reach_the_check_and_the_evaluation(tmp_path, capfd):
    folder = write_dataset(tmp_path / "data")
    config = write_config(folder)
    (folder / "classes.txt").write_text("ground\nball\nbox\ntraffic light\n")
    run_tool("val", config=config, boundary=True, save_dir=tmp_path / "val")
    assert "traffic light" in capfd.readouterr().out


def test_data_sets_stand_below_the_builder():
    for path in Path(datasets.__file__).parent.glob("*.py"):
        assert "paddleseg_ext.builder" not in path.read_text(), path
