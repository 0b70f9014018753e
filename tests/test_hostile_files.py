"""Images and labels from strangers: cut short, with bytes flipped, with headers that lie.

Each is read as usual or refused in one line; none hangs, takes much memory or leaves a file behind.
`record_property("cases", n)` tells tests/reliability.py how many hostile files a test made.
"""

import struct

import cv2
import numpy as np
import pytest
from hostile_support import (
    EXAMPLES,
    damage,
    damages,
    for_each_damage,
    fuzzed,
    in_little_memory,
    png_with_size,
    reads_or_refuses,
)
from hypothesis import given
from hypothesis import strategies as st
from picture_support import write_config, write_dataset
from PIL import Image

from paddleseg_ext import CamVid
from paddleseg_ext.builder import Builder, load_config
from paddleseg_ext.command import UserError
from paddleseg_ext.data_tools.checking import inspect
from paddleseg_ext.data_tools.splits import find_splits
from paddleseg_ext.datasets.palettes import camvid_decoder, gtav_decoder
from paddleseg_ext.files import read_image

DECODERS = {"camvid": camvid_decoder("merge"), "gtav": gtav_decoder(19), "gtav35": gtav_decoder(35)}


def blocks(seed=0, size=(12, 16)):
    """Colours that are smooth, as in photographs."""
    coarse = np.random.default_rng(seed).integers(0, 256, (3, 4, 3)).astype(np.uint8)
    return cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)


@pytest.fixture
def data(tmp_path):
    folder = write_dataset(tmp_path / "data", count=2, size=(16, 12))
    write_config(folder)
    return folder


def validation_set(data):
    return Builder(load_config(str(data / "config.yml"))).val_dataset


# ----------------------------------------------------------------------------------------- sizes that headers declare


def tiff(width, height):
    tags = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 279: 1}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4)


HEADERS = {
    "png": png_with_size,
    "jpg": lambda w, h: bytes.fromhex(f"ffd8 ffc0000b08 {h:04x}{w:04x} 01011100 ffda0008 010100003f00 ffd9"),
    "bmp": lambda w, h: b"BM" + struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, w, h, 1, 24, 0, 0, 0, 0, 0, 0),
    "tif": tiff,
    "ppm": lambda w, h: b"P6 %d %d 255\n" % (w, h),
    "gif": lambda w, h: b"GIF89a" + struct.pack("<HH3xBHHHHBB", w, h, ord(","), 0, 0, w, h, 0, 2),
}
SIZES = [(30000, 30000), (65535, 65535), (13000, 13000), (2000, 2000)]
"""Too large for anyone, and too large for a hundred bytes."""


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", HEADERS)
def test_large_pictures_in_small_files_are_not_decoded(kind, size, data, tmp_path, record_property):
    bomb = HEADERS[kind](*size)
    assert len(bomb) < 130
    path = tmp_path / f"bomb.{kind}"
    path.write_bytes(bomb)
    dataset = validation_set(data)
    image, label = (data / kind / "p0.png" for kind in ("images", "labels"))
    readers = [read_image, *(decoder.read for decoder in DECODERS.values())]

    def refused_everywhere():
        for read in readers:
            assert_too_large(read, path)
        for file in (image, label):
            whole = file.read_bytes()
            file.write_bytes(bomb)
            assert_too_large(lambda _: dataset[0], file)
            file.write_bytes(whole)
        return True

    assert in_little_memory(refused_everywhere)
    record_property("cases", len(readers) + 3)


def assert_too_large(read, path):
    with pytest.raises((UserError, ValueError), match="header declares") as raised:
        read(str(path))
    assert len(str(raised.value).splitlines()) == 1


def test_check_dataset_names_large_pictures(data, record_property):
    settings = {"type": "Dataset", "dataset_root": str(data), "mode": "val", "val_path": str(data / "val.txt")}
    (split,) = find_splits([{**settings, "num_classes": 4}])
    for kind, header in HEADERS.items():
        (data / "labels/p0.png").write_bytes(header(*SIZES[0]))
        problems = inspect(split, split.samples[0]).problems
        assert {problem.kind: problem.file for problem in problems} == {"too_large": str(data / "labels/p0.png")}, kind
    record_property("cases", len(HEADERS))


@pytest.mark.parametrize("kind, mode", [("png", "1"), ("png", "L"), ("png", "RGB"), ("jpg", "RGB"), ("bmp", "RGB")])
def test_real_pictures_of_one_colour_pass(kind, mode, tmp_path):
    path = str(tmp_path / f"a.{kind}")
    Image.new(mode, (3000, 2000)).save(path)
    assert read_image(path).shape == (2000, 3000, 3)


# ----------------------------------------------------------------------------------------------- damaged images


def encoded(kind):
    return cv2.imencode(f".{kind}", blocks())[1].tobytes()


@pytest.mark.parametrize("kind", ["png", "jpg", "bmp", "tiff", "webp", "ppm"])
def test_pictures_cut_short_anywhere(kind, tmp_path, record_property):
    path, whole = tmp_path / f"cut.{kind}", encoded(kind)
    path.write_bytes(whole)
    expected = read_image(str(path))
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        try:
            np.testing.assert_array_equal(read_image(str(path)), expected)  # all but the end mark is there
        except ValueError as error:
            assert len(str(error).splitlines()) == 1
    record_property("cases", len(whole))


def test_a_photograph_with_a_thumbnail_and_a_film_is_whole(tmp_path):
    """Both hold marks of JPEG: one before the image, one after it."""
    thumbnail, path = encoded("jpg"), tmp_path / "a.jpg"
    application = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    whole = b"\xff\xd8" + application + encoded("jpg")[2:]
    path.write_bytes(whole + b"film\xff\xdafilm")
    assert read_image(str(path)).shape == (12, 16, 3)
    path.write_bytes(whole[:-20])
    with pytest.raises(ValueError, match="cut short"):
        read_image(str(path))


def test_a_file_that_may_not_be_read_is_not_damaged(data, monkeypatch):
    def refuse(file, **_):
        raise PermissionError(13, "Permission denied", file)

    dataset = validation_set(data)
    monkeypatch.setattr(Image, "open", refuse)
    for read in (read_image, lambda _: dataset[0]):
        with pytest.raises(PermissionError, match="Permission denied"):
            read(str(data / "images/p0.png"))


@pytest.mark.parametrize("kind", ["images", "labels"])
def test_damaged_files_of_a_data_set(kind, data, record_property):
    dataset, path = validation_set(data), data / kind / "p0.png"

    def read_first(_):
        return dataset[0]

    whole = path.read_bytes() if kind == "labels" else encoded("jpg")
    path.write_bytes(whole)
    expected = dataset[0]
    for end in range(0, len(whole), 3):
        path.write_bytes(whole[:end])
        sample = reads_or_refuses(read_first, path)
        assert isinstance(sample, UserError) or all((sample[key] == expected[key]).all() for key in ("img", "label"))

    for_each_damage(path, whole, lambda: reads_or_refuses(read_first, path))
    record_property("cases", len(whole) // 3 + 1 + EXAMPLES)


def test_check_dataset_gets_over_damaged_pictures(data, record_property):
    settings = {"type": "Dataset", "dataset_root": str(data), "mode": "val", "val_path": str(data / "val.txt")}
    (split,) = find_splits([{**settings, "num_classes": 4}])
    path = data / "images/p0.png"
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "an image"
    Image.fromarray(blocks()).save(path, "JPEG", exif=exif)
    whole = path.read_bytes()
    assert "image_rotated" in {problem.kind for problem in inspect(split, split.samples[0]).problems}

    @fuzzed
    @given(damages(150))  # the header with the EXIF
    def flipped(how):
        path.write_bytes(damage(whole[:150], how) + whole[150:])
        inspect(split, split.samples[0])

    flipped()
    record_property("cases", EXAMPLES)


@pytest.mark.parametrize("kind", ["png", "bmp", "gif"])
@pytest.mark.parametrize("name", DECODERS)
def test_damaged_labels(name, kind, tmp_path, record_property):
    path = tmp_path / f"label.{kind}"
    label = Image.fromarray(np.random.default_rng(0).integers(0, 11, (6, 8)).astype(np.uint8), "P")
    label.putpalette([channel for colour in CamVid.PALETTE for channel in colour])
    label.save(path)
    whole = path.read_bytes()

    def check():
        classes = reads_or_refuses(DECODERS[name].read, path, ValueError)
        assert isinstance(classes, ValueError) or set(np.unique(classes)) <= {*range(35), 255}

    for_each_damage(path, whole, check)
    record_property("cases", EXAMPLES)


@pytest.mark.parametrize("name", DECODERS)
def test_palettes_of_any_length_and_colour(name, record_property):
    @fuzzed
    @given(st.binary(max_size=256), st.sampled_from(["RGB", "RGBA"]), st.binary(min_size=6, max_size=6))
    def any_palette(palette, mode, pixels):
        label = Image.frombytes("P", (3, 2), pixels)
        label.putpalette(palette[: len(palette) // len(mode) * len(mode)], mode)
        assert DECODERS[name].decode(label).shape == (2, 3)

    any_palette()
    record_property("cases", EXAMPLES)
