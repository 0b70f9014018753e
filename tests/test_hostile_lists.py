"""Lists from strangers: cut short, with bytes flipped, one bad line in many, leading out of the data set.

Each is read as usual or refused in one line; none hangs or leaves a file behind.
`record_property("cases", n)` tells tests/reliability.py how many hostile files a test made.
"""

import os
import random

import pytest
from hostile_support import EXAMPLES, damage, damages, for_each_damage, fuzzed, reads_or_refuses
from hypothesis import given
from hypothesis import strategies as st
from own_data_support import SIZE, labelme_json
from picture_support import write_config, write_dataset
from PIL import Image

from paddleseg_ext import GTAV, CamVid
from paddleseg_ext.builder import Builder, load_config
from paddleseg_ext.command import UserError
from paddleseg_ext.data_tools.labelme import Annotation, is_labelme
from paddleseg_ext.data_tools.splits import find_splits
from paddleseg_ext.datasets.description import read_classes
from paddleseg_ext.datasets.lists import list_images


@pytest.fixture
def data(tmp_path):
    folder = write_dataset(tmp_path / "data", count=2, size=(16, 12))
    write_config(folder)
    return folder


LINES = 10_000
BAD_LINES = {
    "no label": b"images/p0.png",
    "three fields": b"images/p0.png labels/p0.png 1",
    "other separator": b"images/p0.png,labels/p0.png",
    "backslashes": rb"images\p0.png labels\p0.png",
    "the data set itself": b"images/p0.png .",
    "control characters": b"images/p0.png labels/\x1b[31mp0\x0b.png",
    "NUL": b"images/p0.png labels/\0p0.png",
    "not UTF-8": b"images/p0.png labels/\xff\xfe.png",
}


OUTSIDE = {  # predict would write its results under the same names, outside of save_dir
    "out of the data": b"../../etc/passwd",
    "out of the data by a detour": b"images/../../../etc/passwd",
    "absolute": b"/etc/passwd",
}


def stock(data, list_path):
    config = load_config(str(data / "config.yml"))
    config.dic["val_dataset"]["val_path"] = list_path
    try:
        return Builder(config).val_dataset
    except RuntimeError as error:  # PaddleSeg's builder wraps what a component raises; `command.run` unwraps it
        raise error.__context__ from None


def camvid(data, list_path):
    return CamVid([], str(data), "val", val_path=list_path)


@pytest.mark.parametrize("dataset", [stock, camvid])
@pytest.mark.parametrize("kind", BAD_LINES)
def test_one_bad_line_in_ten_thousand(kind, dataset, data, record_property):
    place = random.Random(kind).randrange(LINES)
    lines = [b"images/p0.png labels/p0.png"] * LINES
    lines[place] = BAD_LINES[kind]
    path = data / "long.txt"
    path.write_bytes(b"\n".join(lines) + b"\n")
    error = reads_or_refuses(lambda file: dataset(data, file), path, (UserError, ValueError))
    assert f"{path}, line {place + 1}: " in str(error)
    record_property("cases", 1)


def test_check_dataset_names_the_bad_lines(data, record_property):
    path = data / "val.txt"
    path.write_bytes(b"\n".join([b"images/p0.png labels/p0.png", *BAD_LINES.values()]))
    settings = {"type": "Dataset", "dataset_root": str(data), "mode": "val", "val_path": str(path), "num_classes": 4}
    (split,) = find_splits([settings])
    assert {problem.file for problem in split.problems} == {f"{path}:{i + 2}" for i in range(len(BAD_LINES))}
    record_property("cases", len(BAD_LINES))


def test_names_that_paddleseg_takes(data, tmp_path):
    """Absolute paths, detours, and files and links out of the data set, which someone meant."""
    (tmp_path / "elsewhere.png").write_bytes((data / "images/p0.png").read_bytes())
    (data / "images/link.png").symlink_to(tmp_path / "elsewhere.png")
    path = data / "list.txt"
    path.write_text(
        f"{data}/images/p0.png {data}/labels/p0.png\r\n"
        "images/../images/p1.png labels/p1.png\r\n"
        "images/link.png labels/p0.png\n"
        f"../elsewhere.png {data}/labels/p0.png\n"
        f"{tmp_path}/elsewhere.png ../{data.name}/labels/p0.png"
    )
    dataset = stock(data, str(path))
    assert [dataset[i]["img"].shape for i in range(5)] == [(3, 12, 16)] * 5
    assert len(camvid(data, str(path))) == 5


@pytest.mark.slow
@pytest.mark.parametrize("dataset", [stock, camvid])
def test_damaged_lists(dataset, data, record_property):
    path = data / "damaged.txt"
    content = (data / "val.txt").read_bytes()

    def build(damaged):
        path.write_bytes(damaged)
        reads_or_refuses(lambda file: named_after(path, lambda: dataset(data, file)), path, (UserError, ValueError))

    for end in range(len(content)):
        build(content[:end])
    for mark in (b"\xef\xbb\xbf", b"\xff\xfe", b"\0"):
        build(mark + content)

    @fuzzed
    @given(damages(len(content)))
    def flipped(how):
        build(damage(content, how))

    @fuzzed
    @given(st.binary(max_size=80))
    def anything(damaged):
        build(damaged)

    flipped()
    anything()
    record_property("cases", len(content) + 3 + 2 * EXAMPLES)


def named_after(path, build):
    """An error about a file that the list names is as good as one about the list."""
    try:
        return build()
    except UserError as error:
        if path.name in str(error) or "listed, but there is no such file" in str(error):
            raise UserError(f"{path.name}: {error}") from error
        raise


@pytest.mark.parametrize("kind", [*OUTSIDE, "NUL", "not UTF-8"])
def test_lists_of_pictures_to_predict(kind, data, record_property):
    path = data / "pictures.txt"
    path.write_bytes(b"images/p0.png\n" + {**BAD_LINES, **OUTSIDE}[kind])
    error = reads_or_refuses(list_images, path)
    assert ("neither an image (.png, " if kind == "NUL" else f"{path}, line 2: ") in str(error)
    record_property("cases", 1)


def test_nothing_to_predict(data, record_property):
    (data / "none").mkdir()
    (data / "empty.txt").write_text("\n\n")
    for name, told in (("none", "none: holds no images"), ("empty.txt", "empty.txt: an empty list: write the path")):
        with pytest.raises(UserError, match=told):
            list_images(str(data / name))
    record_property("cases", 2)


def test_damaged_lists_of_pictures_to_predict(data, record_property):
    path = data / "pictures.txt"

    @fuzzed
    @given(st.binary(max_size=80))
    def anything(content):
        path.write_bytes(content)
        listed = reads_or_refuses(list_images, path)
        assert isinstance(listed, UserError) or all(os.path.realpath(file).startswith(str(data)) for file in listed[0])

    anything()
    record_property("cases", EXAMPLES)


def test_damaged_split_of_gtav(tmp_path, record_property):
    from scipy.io import savemat

    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
        Image.new("L", (2, 2)).save(tmp_path / folder / "00001.png")
    path = tmp_path / "split.mat"
    savemat(path, {"trainIds": [[1]], "valIds": [[]], "testIds": [[]]})
    whole = path.read_bytes()

    for_each_damage(path, whole, lambda: reads_or_refuses(lambda _: GTAV([], str(tmp_path)), path))
    record_property("cases", EXAMPLES)


def test_damaged_names_of_classes(tmp_path, record_property):
    path = tmp_path / "classes.txt"
    content = b"\xef\xbb\xbfroad 1 2 3\n\xe5\xa4\xa9 4 5 6\n3 car 250 251 252\n"

    for_each_damage(path, content, lambda: reads_or_refuses(read_classes, path))
    record_property("cases", EXAMPLES)


def test_damaged_json_of_labelme(tmp_path, record_property):
    path = tmp_path / "a.json"
    content = labelme_json(0, "a.jpg", as_mask=(1,)).encode()

    def draw(file):
        annotation = Annotation(file)
        return annotation.draw(SIZE, dict.fromkeys(annotation.names, 1), 0)

    def check():
        reads_or_refuses(draw, path)
        is_labelme(str(path))

    for_each_damage(path, content, check)
    for hostile in (b"[" * 100_000, b'{"shapes": {}}', b'{"shapes": [1], "imageWidth": 1e400, "imageHeight": 1}'):
        path.write_bytes(hostile)
        assert isinstance(reads_or_refuses(draw, path), UserError)
    record_property("cases", EXAMPLES + 3)
