"""Which files belong to a data set: folders with links, and lists of which nobody said what separates their fields."""

import numpy as np
import pytest

from paddleseg_ext.analysis.pictures import list_pictures
from paddleseg_ext.command import UserError
from paddleseg_ext.datasets.lists import files_below, guess_separator, list_images, read_images
from paddleseg_ext.files import write_image


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(str(root / name), np.zeros((2, 2, 3), np.uint8))


def test_links_to_folders_are_followed_but_not_in_circles(tmp_path):
    touch(tmp_path, "disk/day/a.png", "data/b.png", "data/.hidden/c.png")
    root = tmp_path / "data"
    (root / "linked").symlink_to(tmp_path / "disk")
    (tmp_path / "disk/day/back").symlink_to(root)
    (root / "itself").symlink_to(root)
    expected = [root / "b.png", root / "linked/day/a.png"]
    assert list(files_below(root)) == expected
    assert list_images(str(root)) == ([str(path) for path in expected], str(root))


@pytest.mark.parametrize("separator", [" ", ",", "\t", "|", "  ", ", "])
def test_lists_with_any_separator(separator, tmp_path):
    space = "" if separator.isspace() or " " in separator else " "
    names = [f"im{space}a.png", f"im{space}b.png"]
    touch(tmp_path, *names, f"la{space}bel.png")
    path = tmp_path / "list.txt"
    path.write_text("".join(f"{name}{separator}la{space}bel.png\n" for name in names))
    pictures = list_pictures(str(path))
    assert [picture.path for picture in pictures] == [str(tmp_path / name) for name in names]
    assert {picture.label_path for picture in pictures} == {str(tmp_path / f"la{space}bel.png")}


def test_a_line_may_be_a_name_with_spaces_or_lack_its_label(tmp_path):
    touch(tmp_path, "my a, b.png", "c.png")
    path = tmp_path / "list.txt"
    path.write_text("my a, b.png\nc.png missing.png\n")
    assert [[file.rpartition("/")[2] for file in line] for line in read_images(str(path))] == [
        ["my a, b.png"],
        ["c.png", "missing.png"],
    ]


@pytest.mark.parametrize(
    "line, message",
    [
        ("none.png label.png", "none.png: there is no such file: fix the line"),
        ("my none.png", "my none.png: there is no such file"),
        (r"images\a.png labels\a.png", r"images\a.png: there is no such file: write / instead of \ ".strip()),
    ],
)
def test_lines_that_name_no_image_are_told(line, message, tmp_path):
    touch(tmp_path, "images/a.png")
    path = tmp_path / "list.txt"
    path.write_text(f"images/a.png\n{line}\n")
    for read in (list_images, list_pictures):
        with pytest.raises(UserError) as error:
            read(str(path))
        assert f"{path}, line 2: {message}" in str(error.value)


def test_separators_are_told_by_files_and_else_by_their_number(tmp_path):
    touch(tmp_path, "my a.png", "b.png")
    assert guess_separator("my a.png,b.png", str(tmp_path)) == ","
    assert guess_separator("c.png|d.png", str(tmp_path)) == "|"
    assert guess_separator("c.png", str(tmp_path)) == " "
