import os
import runpy
import shutil
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[1] / "tools/create_dataset_list.py"


@pytest.fixture
def create_lists(monkeypatch, tmp_path, capsys):
    """Run the tool on tmp_path: (exit status, stdout, stderr)."""

    def run(*flags):
        monkeypatch.setattr(sys, "argv", [TOOL.name, str(tmp_path), *flags])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(TOOL), run_name="__main__")
        return end.value.code, *capsys.readouterr()

    return run


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def lists(root):
    return {path.name: path.read_text().splitlines() for path in root.glob("*.txt")}


def touch_cityscapes(root):
    for split, scene in (("train", "aachen/aachen_1"), ("train", "bonn/bonn_2"), ("val", "ulm/ulm_3")):
        touch(root, f"leftImg8bit/{split}/{scene}_leftImg8bit.png", f"gtFine/{split}/{scene}_gtFine_labelTrainIds.png")
        touch(root, f"gtFine/{split}/{scene}_gtFine_color.png", f"gtFine/{split}/{scene}_gtFine_labelIds.png")
    touch(root, "leftImg8bit/test/bonn/bonn_4_leftImg8bit.png")


def test_cityscapes_as_the_original_command_has_it(create_lists, tmp_path):
    touch_cityscapes(tmp_path)
    status, out, _ = create_lists("--type", "cityscapes", "--separator", ",")
    assert status == 0 and f"{tmp_path}/train.txt: 2 lines" in out
    assert lists(tmp_path) == {
        "train.txt": [
            "leftImg8bit/train/aachen/aachen_1_leftImg8bit.png,gtFine/train/aachen/aachen_1_gtFine_labelTrainIds.png",
            "leftImg8bit/train/bonn/bonn_2_leftImg8bit.png,gtFine/train/bonn/bonn_2_gtFine_labelTrainIds.png",
        ],
        "val.txt": ["leftImg8bit/val/ulm/ulm_3_leftImg8bit.png,gtFine/val/ulm/ulm_3_gtFine_labelTrainIds.png"],
        "test.txt": ["leftImg8bit/test/bonn/bonn_4_leftImg8bit.png"],
    }


def test_a_missing_label_does_not_shift_the_others(create_lists, tmp_path):
    touch_cityscapes(tmp_path)
    (tmp_path / "gtFine/train/aachen/aachen_1_gtFine_labelTrainIds.png").unlink()
    touch(tmp_path, "gtFine/train/zurich/zurich_5_gtFine_labelTrainIds.png")
    status, _, err = create_lists("--type", "cityscapes", "--separator", ",")
    assert status == 1
    assert err.splitlines()[-2:] == [
        "leftImg8bit/train/aachen/aachen_1_leftImg8bit.png: has no label",
        "gtFine/train/zurich/zurich_5_gtFine_labelTrainIds.png: has no image",
    ]
    assert lists(tmp_path)["train.txt"] == [
        "leftImg8bit/train/bonn/bonn_2_leftImg8bit.png,gtFine/train/bonn/bonn_2_gtFine_labelTrainIds.png"
    ]


@pytest.mark.parametrize(
    "type_, files, expected",
    [
        ("camvid", ["val/a.jpg", "valannot/a.png"], {"val.txt": ["val/a.jpg valannot/a.png"]}),
        ("camvid", ["val/a.png", "val_labels/a_L.png"], {"val.txt": ["val/a.png val_labels/a_L.png"]}),
        (
            "camvid",
            ["701_StillsRaw_full/Seq05VD_f00000.png", "LabeledApproved_full/Seq05VD_f00000_L.png"],
            {"test.txt": ["701_StillsRaw_full/Seq05VD_f00000.png LabeledApproved_full/Seq05VD_f00000_L.png"]},
        ),
        ("gtav", ["images/00001.png", "labels/00001.png"], {"train.txt": ["images/00001.png labels/00001.png"]}),
    ],
)
def test_other_data_sets(create_lists, tmp_path, type_, files, expected):
    touch(tmp_path, *files)
    assert create_lists("--type", type_)[0] == 0
    assert lists(tmp_path) == expected


def test_custom_folders(create_lists, tmp_path):
    touch(tmp_path, "pics/fit/deep/er/a_rgb.JPG", "masks/fit/deep/er/a_mask.png", "masks/fit/notes.txt")
    flags = [
        "--folder",
        "pics",
        "masks",
        "--second_folder",
        "fit",
        "--format",
        ".jpg",
        ".png",
        "--postfix",
        "_rgb",
        "_mask",
    ]
    assert create_lists(*flags)[0] == 0
    assert lists(tmp_path) == {"fit.txt": ["pics/fit/deep/er/a_rgb.JPG masks/fit/deep/er/a_mask.png"]}


def test_names_with_the_separator_are_refused_before_anything_is_written(create_lists, tmp_path):
    touch(tmp_path, "images/train/a.jpg", "annotations/train/a.png", "images/val/b c.jpg", "annotations/val/b c.png")
    status, _, err = create_lists()
    assert status == 1 and "images/val/b c.jpg: this name holds the separator ' '" in err
    assert lists(tmp_path) == {}
    assert create_lists("--separator", ",")[0] == 0
    assert lists(tmp_path)["val.txt"] == ["images/val/b c.jpg,annotations/val/b c.png"]


def test_the_separator_in_the_name_of_an_image_without_label_is_refused(create_lists, tmp_path):
    touch(tmp_path, "images/test/my pic.jpg")
    status, _, err = create_lists()
    assert status == 1 and "images/test/my pic.jpg: this name holds the separator ' '" in err
    assert create_lists("--separator", ",")[0] == 0
    assert lists(tmp_path) == {"test.txt": ["images/test/my pic.jpg"]}


def test_names_that_no_list_can_hold_are_refused_before_anything_is_written(create_lists, tmp_path):
    name = os.fsdecode("你".encode("gbk"))
    touch(tmp_path, "images/train/a.jpg", "annotations/train/a.png")
    touch(tmp_path, f"images/val/{name}.jpg", f"annotations/val/{name}.png")
    status, _, err = create_lists()
    assert status == 1 and r"'images/val/\udcc4\udce3.jpg' is not in UTF-8" in err and lists(tmp_path) == {}


@pytest.mark.parametrize("type_, names", [("custom", ["a.JPG", "a.jpg"]), ("gtav", ["a.jpg", "a.png"])])
def test_two_images_of_one_name(type_, names, create_lists, tmp_path):
    touch(tmp_path, *(f"images/train/{name}" for name in names), "labels/train/a.png")
    status, _, err = create_lists("--type", type_, "--folder", "images", "labels")
    first, second = (tmp_path / "images/train" / name for name in names)
    assert status == 1 and f"{first} and {second} are both called a: rename" in err


def test_folders_that_are_links(create_lists, tmp_path):
    touch(tmp_path, "disk/ulm/a.jpg", "annotations/train/ulm/a.png")
    (tmp_path / "images/train").mkdir(parents=True)
    (tmp_path / "images/train/ulm").symlink_to(tmp_path / "disk/ulm")
    assert create_lists()[0] == 0
    assert lists(tmp_path) == {"train.txt": ["images/train/ulm/a.jpg annotations/train/ulm/a.png"]}


def test_nothing_found(create_lists, tmp_path):
    none = "found no images (jpg) with labels in images/train, images/val, images/test"
    for flags, message in (((), none), (("--type", "gtav"), "found no folders images")):
        status, _, err = create_lists(*flags)
        assert status == 1 and err.startswith("error: ") and message in err and err.count("\n") == 1
    touch(tmp_path, "images/train/a.jpg")
    assert create_lists()[2].startswith("images/train/a.jpg: has no label\nerror: ")
    shutil.rmtree(tmp_path)
    assert "there is no such folder" in create_lists()[2]


def test_camvid_lists_are_the_published_ones(create_lists, tmp_path, shared):
    published = shared / "data/camvid"
    for folder in published.iterdir():
        if folder.is_dir():
            (tmp_path / folder.name).symlink_to(folder)
    assert create_lists("--type", "camvid")[0] == 0
    for name, lines in lists(tmp_path).items():
        assert sorted(lines) == sorted((published / name).read_text().splitlines())
    assert len(lists(tmp_path)) == 3
