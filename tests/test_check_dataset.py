import json
import os
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from browser_support import assert_fits, at_both_widths, browse, count_colours, needs_chromium
from hostile_support import png_with_size
from paddleseg.datasets import Dataset
from paddleseg.transforms import Normalize
from PIL import Image

from paddleseg_ext.data_tools.check_report import make_report, summary
from paddleseg_ext.data_tools.checking import all_problems, check, inspect
from paddleseg_ext.data_tools.problems import KINDS
from paddleseg_ext.data_tools.splits import find_splits

TOOL = Path(__file__).parents[1] / "tools/check_dataset.py"
NUM_CLASSES, SIZE = 19, (40, 30)  # width, height


def picture(seed, size=SIZE):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8))


def classes(seed, values=range(NUM_CLASSES)):
    label = np.random.default_rng(seed).choice(np.array(values, np.uint8), (SIZE[1], SIZE[0]))
    label[0, : len(values)] = values
    return label


def save_label(array, path, **options):
    Image.fromarray(np.asarray(array)).save(path, **options)


@pytest.fixture
def root(tmp_path):
    """A faultless data set: four images of all classes with an ignored corner in train, two in val."""
    for split, count in (("train", 4), ("val", 2)):
        for folder in ("images", "labels"):
            (tmp_path / folder / split).mkdir(parents=True)
        lines = []
        for i in range(count):
            seed = i + 100 * len(lines) + 1000 * (split == "val")
            picture(seed).save(tmp_path / f"images/{split}/{i}.png")
            label = classes(seed)
            label[-5:, -5:] = 255
            save_label(label, tmp_path / f"labels/{split}/{i}.png")
            lines.append(f"images/{split}/{i}.png labels/{split}/{i}.png\n")
        (tmp_path / f"{split}.txt").write_text("".join(lines))
    return tmp_path


def sections(root, type_="Dataset", **settings):
    lists = {f"{split}_path": str(root / f"{split}.txt") for split in ("train", "val")}
    common = {"type": type_, "dataset_root": str(root), **settings}
    if type_ == "Dataset":
        common["num_classes"] = NUM_CLASSES
    return [{**common, f"{mode}_path": lists[f"{mode}_path"], "mode": mode} for mode in ("train", "val")]


def problems_of(splits):
    """What the tool reports, without its processes."""
    for split in splits:
        split.samples = [inspect(split, sample) for sample in split.samples]
    return all_problems(splits)


def found(root, **settings):
    problems = problems_of(find_splits(sections(root, **settings)))
    return sorted((problem.kind, os.path.relpath(problem.file, root)) for problem in problems)


# ------------------------------------------------------------------------------------------------ planted mistakes


def edit_list(change):
    def plant(root):
        lines = (root / "train.txt").read_text().splitlines(keepends=True)
        (root / "train.txt").write_text("".join(change(lines)))

    return plant


def replace_line(line):
    return edit_list(lambda lines: [lines[0], line + "\n", *lines[2:]])


def edit_label(change):
    """`change`: the class map -> what is saved instead."""

    def plant(root):
        path = root / "labels/train/1.png"
        save_label(change(np.array(Image.open(path))), path)

    return plant


def labels_elsewhere(name, **options):
    """The label as another file, with its list line."""

    def plant(root):
        Image.open(root / "labels/train/1.png").save(root / f"labels/train/{name}", **options)
        replace_line(f"images/train/1.png labels/train/{name}")(root)

    return plant


def edit_image(change, **options):
    def plant(root):
        path = root / "images/train/1.png"
        change(Image.open(path)).save(path, **options)

    return plant


def rotated(root):
    exif = Image.Exif()
    exif[0x0112] = 6
    edit_image(lambda image: image, exif=exif)(root)


def to_rgb(label):
    return np.random.default_rng(0).integers(0, 256, (256, 3), np.uint8)[label]


def zero_255(label):
    return np.where(label < 9, 0, 255).astype(np.uint8)


def to_label_ids(label):
    table = np.full(256, 0, np.uint8)
    table[:19] = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
    return table[label]


def one_based(label):
    return np.where(label == 255, 255, label + 1).astype(np.uint8)


def out_of_range(label):
    label[3, 4:8] = 200
    return label


def fifteen_times(root):
    larger = (SIZE[0] * 5, SIZE[1] * 3)
    for path, resample in ((root / "images/train/1.png", Image.BICUBIC), (root / "labels/train/1.png", Image.NEAREST)):
        Image.open(path).resize(larger, resample).save(path)


def copy_into_val(root):
    Image.open(root / "images/train/1.png").save(root / "images/val/1.png", compress_level=1)


IMAGE, LABEL, LINE = "images/train/1.png", "labels/train/1.png", "train.txt:2"
MISTAKES = {
    "0/255 mask": (edit_label(zero_255), [("label_0_255", LABEL)]),
    "1-bit mask": (edit_label(lambda label: label < 9), [("label_0_255", LABEL)]),
    "colour mask": (edit_label(to_rgb), [("label_rgb", LABEL)]),
    "three equal channels": (edit_label(lambda label: np.stack([label] * 3, -1)), [("label_rgb", LABEL)]),
    "labelIds by value": (edit_label(to_label_ids), [("label_ids", LABEL)]),
    "labelIds by name": (
        labels_elsewhere("1_gtFine_labelIds.png"),
        [("label_ids", "labels/train/1_gtFine_labelIds.png")],
    ),
    "numbered from 1": (edit_label(one_based), [("label_one_based", LABEL)]),
    "value out of range": (edit_label(out_of_range), [("label_range", LABEL)]),
    "16-bit label": (edit_label(lambda label: label.astype(np.uint16) * 1000), [("label_depth", LABEL)]),
    "all ignored": (edit_label(lambda label: np.full_like(label, 255)), [("label_empty", LABEL)]),
    "JPEG label": (labels_elsewhere("1.jpg"), [("label_lossy", "labels/train/1.jpg")]),
    "other size": (edit_label(lambda label: label[:-1]), [("size_mismatch", LABEL)]),
    "missing label": (lambda root: (root / LABEL).unlink(), [("label_missing", LABEL)]),
    "missing image": (lambda root: (root / IMAGE).unlink(), [("image_missing", IMAGE)]),
    "not an image": (lambda root: (root / IMAGE).write_text("<html>404</html>"), [("image_unreadable", IMAGE)]),
    "empty file": (lambda root: (root / IMAGE).write_bytes(b""), [("image_unreadable", IMAGE)]),
    "truncated image": (lambda root: os.truncate(root / IMAGE, 2000), [("image_unreadable", IMAGE)]),
    "truncated label": (lambda root: os.truncate(root / LABEL, 300), [("label_unreadable", LABEL)]),
    "bomb": (lambda root: (root / IMAGE).write_bytes(png_with_size(30000, 30000)), [("too_large", IMAGE)]),
    "smaller bomb": (lambda root: (root / LABEL).write_bytes(png_with_size(14000, 14000)), [("too_large", LABEL)]),
    "16-bit image": (
        edit_image(lambda i: Image.fromarray(np.array(i)[..., 0] * np.uint16(256))),
        [("image_channels", IMAGE)],
    ),
    "rotated": (rotated, [("image_rotated", IMAGE)]),
    "blank": (edit_image(lambda image: Image.new("RGB", image.size, (9, 9, 9))), [("image_blank", IMAGE)]),
    "in two splits": (copy_into_val, [("duplicate", "images/val/1.png")]),
    "wrong separator": (replace_line(f"{IMAGE},{LABEL}"), [("list_line", LINE)]),
    "too many fields": (replace_line(f"{IMAGE} {LABEL} 1"), [("list_line", LINE)]),
    "no label in the list": (replace_line(IMAGE), [("list_line", LINE)]),
    "backslashes": (replace_line(r"images\train\1.png labels\train\1.png"), [("list_line", LINE)]),
    "backslash in the label": (replace_line(rf"{IMAGE} labels\train\1.png"), [("list_line", LINE)]),
    "15 times as large": (fifteen_times, [("size_outlier", IMAGE)]),
    "control characters": (replace_line(f"images/\x07.png {LABEL}"), [("list_line", LINE)]),
    "nothing out of the root": (replace_line(f"../1.png {LABEL}"), [("image_missing", "../1.png")]),
    "listed twice": (edit_list(lambda lines: [*lines, lines[1]]), [("listed_twice", IMAGE)]),
    "labels swapped": (
        edit_list(lambda lines: [lines[0], f"{IMAGE} labels/train/2.png\n", f"images/train/2.png {LABEL}\n", lines[3]]),
        [("pair_crossed", IMAGE), ("pair_crossed", "images/train/2.png")],
    ),
    "no list": (
        lambda root: (root / "train.txt").unlink(),
        [("list_missing", "train.txt"), ("no_images", "train.txt")],
    ),
    "empty list": (edit_list(lambda lines: []), [("no_images", "train.txt")]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_each_planted_mistake_is_named_with_its_file_and_nothing_else(root, mistake):
    plant, expected = MISTAKES[mistake]
    plant(root)
    assert found(root) == sorted(expected)


def test_every_kind_is_planted_once():
    planted = {kind for _, expected in MISTAKES.values() for kind, _ in expected}
    assert planted | {"label_colour", "label_shapes"} == KINDS.keys()


def test_a_faultless_data_set_has_no_problems(root):
    assert found(root) == []


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P"])
def test_what_opencv_reads_as_three_channels_is_no_problem(root, mode):
    edit_image(lambda image: image.convert(mode))(root)
    assert found(root) == []
    section = {**sections(root)[0], "img_channels": 1}
    problems = problems_of(find_splits([section]))
    named = {os.path.relpath(problem.file, root) for problem in problems if problem.kind == "image_channels"}
    assert (IMAGE in named) == (mode != "L")


def test_no_workers_check_in_this_process(root):
    splits = find_splits(sections(root))
    check(splits, num_workers=0)
    assert all_problems(splits) == problems_of(find_splits(sections(root)))
    assert [len([sample for sample in split.samples if sample.size == SIZE]) for split in splits] == [4, 2]


def test_files_elsewhere_are_read_as_in_training(root, tmp_path_factory):
    """By .. through a link to the folder, and by an absolute path."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    link = tmp_path_factory.mktemp("links") / "data"
    link.symlink_to(root)
    (root / "images/train/1.png").rename(elsewhere / "1.png")
    (root / "labels/train/2.png").rename(elsewhere / "2.png")
    edit_list(
        lambda lines: [
            lines[0],
            f"../{elsewhere.name}/1.png {LABEL}\n",
            f"images/train/2.png {elsewhere}/2.png\n",
            lines[3],
        ]
    )(root)
    splits = find_splits(sections(link))
    problems = problems_of(splits)
    assert problems == []
    report = make_report(splits, problems)
    assert [split["images_outside"] for split in report["splits"].values()] == [2, 0]
    assert "note: 2 images or their labels lie outside of dataset_root" in summary(report)
    training = Dataset("train", str(link), [Normalize()], NUM_CLASSES, train_path=str(root / "train.txt"))
    assert [training[i]["img"].shape for i in (1, 2)] == [(3, SIZE[1], SIZE[0])] * 2


def test_test_labels_may_be_ignored_everywhere(root):
    """As those of Cityscapes are."""
    (root / "test.txt").write_text(f"{IMAGE} {LABEL}\n")
    MISTAKES["all ignored"][0](root)
    section = {**sections(root)[0], "mode": "test", "train_path": None, "test_path": str(root / "test.txt")}
    assert problems_of(find_splits([section])) == []


def test_details_tell_the_fix(root):
    replace_line(f"{IMAGE},{LABEL}")(root)
    (problem,) = find_splits(sections(root))[0].problems
    assert problem.detail == "the separator is ',', expected ' '"


def test_colours_that_are_no_class(root):
    """With lists for train and val only, in folders that are not CamVid's."""
    for split, count in (("train", 4), ("val", 2)):
        for i in range(count):
            save_label(classes(i, range(12)), root / f"labels/{split}/{i}.png")
    smoothed = np.full((SIZE[1], SIZE[0], 3), 128, np.uint8)  # Sky
    smoothed[:3] = (127, 64, 65)
    save_label(smoothed, root / LABEL)
    (problem,) = problems_of(find_splits(sections(root, type_="CamVid")))
    assert (problem.kind, problem.file) == ("label_colour", str(root / LABEL))
    assert problem.detail == "1 colours in 10.00% of the pixels, e.g. (127, 64, 65)" and problem.extent == 0.1


def test_folders_without_partner(tmp_path):
    for name in ("aachen_1", "aachen_2"):
        for folder, ending in (("leftImg8bit", "leftImg8bit"), ("gtFine", "gtFine_labelTrainIds")):
            path = tmp_path / folder / "train/aachen" / f"{name}_{ending}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            save_label(classes(1), path) if folder == "gtFine" else picture(len(name)).save(path)
    (tmp_path / "gtFine/train/aachen/aachen_1_gtFine_labelTrainIds.png").unlink()
    (tmp_path / "leftImg8bit/train/aachen/aachen_2_leftImg8bit.png").unlink()
    splits = find_splits([{"type": "Cityscapes", "dataset_root": str(tmp_path), "mode": "train"}])
    problems = problems_of(splits)
    assert [(problem.kind, os.path.basename(problem.file)) for problem in problems] == [
        ("label_missing", "aachen_1_leftImg8bit.png"),
        ("image_missing", "aachen_2_gtFine_labelTrainIds.png"),
        ("no_images", tmp_path.name),
    ]


def test_each_section_of_a_config_names_the_list_of_its_mode(root):
    (root / "few.txt").write_text("images/val/0.png labels/val/0.png\n")
    train, val = sections(root, type_="CamVid")
    val["val_path"] = str(root / "few.txt")
    assert [(split.name, len(split.samples)) for split in find_splits([train, val])] == [("train", 4), ("val", 1)]


def test_a_data_set_that_reads_labels_in_a_way_of_its_own(tmp_path, run_tool):
    """ADE20K's files are numbered from 1, and PaddleSeg's class subtracts 1."""
    for folder in ("images/training", "annotations/training"):
        (tmp_path / folder).mkdir(parents=True)
    picture(0).save(tmp_path / "images/training/a.jpg")
    save_label(classes(0, range(151)[:40]), tmp_path / "annotations/training/a.png")
    section = {"type": "ADE20K", "dataset_root": str(tmp_path), "mode": "train", "transforms": [{"type": "Normalize"}]}
    (tmp_path / "c.yml").write_text(yaml.safe_dump({"train_dataset": section}))
    status, out, _, text, _ = run_tool("--config", str(tmp_path / "c.yml"))
    assert status == 0, out
    seen = [c["pixel_share"] > 0 for c in json.loads(text)["splits"]["train"]["classes"]]
    assert seen == [True] * 39 + [False] * 111


def test_class_figures_by_hand(root):
    """Two images of 1200 pixels: 300 of class 0 and 900 of class 1; 480 of class 0, 120 of class 2, 600 ignored."""
    (root / "train.txt").write_text("".join(f"images/train/{i}.png labels/train/{i}.png\n" for i in range(2)))
    pixels = np.repeat(np.uint8([0, 1]), (300, 900)), np.repeat(np.uint8([0, 2, 255]), (480, 120, 600))
    for i, label in enumerate(pixels):
        save_label(label.reshape(SIZE[::-1]), root / f"labels/train/{i}.png")
    splits = find_splits(sections(root)[:1])
    train = make_report(splits, problems_of(splits))["splits"]["train"]
    shares = (780 / 1800, 900 / 1800, 120 / 1800, 0)
    frequencies = (780 / 1800, 900 / 1200, 120 / 600)  # of the pixels of the images that hold the class
    expected = {
        "pixel_share": shares,
        "image_share": (1, 0.5, 0.5, 0),
        "median_frequency_weight": (*(frequencies[0] / f for f in frequencies), 1),
        "enet_weight": [1 / np.log(1.02 + share) for share in shares],
    }
    assert train["ignored_share"] == 0.25
    for figure, values in expected.items():
        assert [c[figure] for c in train["classes"][:4]] == pytest.approx(values, abs=1e-4)


def test_hostile_file_names_reach_neither_terminal_nor_page(root):
    name = "images/train/\x1b[31m<script>.png"
    (root / "train.txt").write_text(f"{name} {LABEL}\n")
    splits = find_splits(sections(root))
    text = summary(make_report(splits, problems_of(splits)))
    assert "\x1b" not in text and r"\x1b[31m<script>.png" in text


# ------------------------------------------------------------------------------------------------ the tool


@pytest.fixture
def run_tool(monkeypatch, tmp_path, capsys):
    """Run the tool with two processes: (exit status, stdout, stderr, report.json, report.html)."""

    def run(*flags):
        save_dir = tmp_path / "report"
        monkeypatch.setattr(sys, "argv", [TOOL.name, "--save_dir", str(save_dir), "--num_workers", "2", *flags])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(TOOL), run_name="__main__")
        texts = [
            path.read_text() if path.exists() else None for path in (save_dir / f"report.{s}" for s in ("json", "html"))
        ]
        return end.value.code, *capsys.readouterr(), *texts

    return run


def test_tool_on_a_faultless_folder(root, run_tool):
    status, out, _, _, page = run_tool(str(root), "--num_classes", "19")
    assert status == 0
    assert "train: 4 images" in out and "no problems found" in out
    assert "No problems found" in page


def test_the_summary_outlives_a_full_disk(root, run_tool, monkeypatch):
    from paddleseg_ext.data_tools import check_report

    monkeypatch.setattr(check_report, "write_whole", lambda *_: os.open(root / "none", os.O_RDONLY))
    status, out, *_ = run_tool(str(root), "--num_classes", "19")
    assert status == 1 and "train: 4 images" in out


def test_tool_on_a_config_with_several_mistakes(root, run_tool, tmp_path):
    for mistake in ("colour mask", "in two splits", "control characters"):
        MISTAKES[mistake][0](root)
    edit = {"labels/train/2.png": one_based, "labels/train/3.png": out_of_range}
    for name, change in edit.items():
        save_label(change(np.array(Image.open(root / name))), root / name)
    config = dict(zip(("train_dataset", "val_dataset"), sections(root)))
    (tmp_path / "c.yml").write_text(yaml.safe_dump(config))
    status, out, _, text, page = run_tool("--config", str(tmp_path / "c.yml"))
    assert status == 1
    report = json.loads(text)
    files = {p["kind"]: [os.path.relpath(f["file"], root) for f in p["files"]] for p in report["problems"]}
    assert files == {
        "list_line": [LINE],
        "label_one_based": ["labels/train/2.png"],
        "label_range": ["labels/train/3.png"],
    }
    for kind, names in files.items():
        assert f"{kind}: {KINDS[kind][0]} (1)" in out and KINDS[kind][1] in out
        assert all(str(root / name) in out and name in page for name in names)
    assert page.count("data:image/jpeg") == page.count("data:image/png") == 2
    assert "http" not in page and "<script" not in page  # nothing is loaded from elsewhere


@needs_chromium
@at_both_widths
def test_page_renders_in_a_browser(root, run_tool, tmp_path, width):
    MISTAKES["colour mask"][0](root)
    (root / "classes.txt").write_text("\n".join(f"a class with a long name {i}" for i in range(NUM_CLASSES)))
    run_tool(str(root))
    html, shot = browse((tmp_path / "report/report.html").as_uri(), width)
    assert KINDS["label_rgb"][1] in html and "18 a class with a long name 18" in html
    assert_fits(shot)
    assert count_colours(shot) > 500  # images of what is wrong


def test_tool_leaves_out_kinds_on_request(root, run_tool):
    MISTAKES["16-bit image"][0](root)
    assert run_tool(str(root), "--num_classes", "19")[0] == 1
    assert run_tool(str(root), "--num_classes", "19", "--ignore", "image_channels")[0] == 0


@pytest.mark.parametrize(
    "flags, message",
    [
        ([], "give either --config FILE or the folder"),
        (["{root}"], "num_classes: None"),
        (["{root}/images"], "run tools/new_config.py"),
        (["{root}/nowhere", "--type", "camvid"], "there is no such folder"),
        (["{root}/images", "--type", "gtav"], "found no folders images"),
        (["{root}", "--num_classes", "19", "--ignore", "blanks"], "--ignore blanks: expected one of list_missing"),
        (["--config", "{root}/none.yml"], "there is no such file"),
        (["{root}", "--num_workers", "-1"], "--num_workers -1: give"),
        (["{root}", "--separator", ""], "--separator '': give"),
        (["{root}", "--num_classes", "19", "--save_dir", "{root}/train.txt"], "train.txt: no folder can be made there"),
    ],
)
def test_wrong_flags_are_one_line(root, run_tool, flags, message):
    status, out, err, *_ = run_tool(*(flag.format(root=root) for flag in flags))
    assert status == 1 and out == "" and err.startswith("error: ") and message in err and err.count("\n") == 1


def test_real_camvid_has_no_problems(shared, run_tool):
    status, out, *_ = run_tool(str(shared / "data/camvid"), "--type", "camvid")
    assert status == 0, out
    assert "train: 367 images, 367 with usable labels" in out and "test: 233 images" in out
