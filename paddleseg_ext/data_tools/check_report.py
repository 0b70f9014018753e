"""What a check of a data set found: figures per class, class weights, a summary, JSON and an HTML page."""

from __future__ import annotations

import base64
import io
import json
import os
from collections import defaultdict
from pathlib import Path

import jinja2
import numpy as np
from PIL import Image

from paddleseg_ext.data_tools.problems import KINDS, Problem
from paddleseg_ext.data_tools.splits import Sample, Split
from paddleseg_ext.datasets.cityscapes_classes import IGNORE_INDEX
from paddleseg_ext.datasets.palettes import UNKNOWN
from paddleseg_ext.files import open_picture, write_whole
from paddleseg_ext.tables import text_table

SHOWN_FILES = 5  # of a kind, on the screen
SHOWN_FILES_IN_PAGE = 100
SHOWN_PICTURES = 3  # of a kind, in the page
THUMBNAIL = (300, 220)  # pixels
IGNORED_COLOUR = (225, 225, 225)
WRONG_COLOUR = (255, 0, 200)
TEMPLATE = Path(__file__).with_name("check_report.html")


def make_report(splits: list[Split], problems: list[Problem]) -> dict:
    """All figures of checked splits, and their problems, ready for JSON."""
    by_kind = defaultdict(list)
    for problem in sorted(problems, key=lambda p: -p.extent):
        by_kind[problem.kind].append(problem)
    return {
        "splits": {split.name: _statistics(split) for split in splits},
        "problems": [
            {
                "kind": kind,
                "what": KINDS[kind][0],
                "fix": KINDS[kind][1],
                "files": [
                    {"split": p.split, "file": printable(p.file), "detail": printable(p.detail), "extent": p.extent}
                    for p in by_kind[kind]
                ],
            }
            for kind in KINDS
            if kind in by_kind
        ],
    }


def _statistics(split: Split) -> dict:
    """Pixel and image shares of a split's classes, and class weights made of them."""
    samples, names = split.samples, split.classes.names
    per_picture = np.array([sample.pixels for sample in samples], np.int64).reshape(-1, len(names))
    holds, pixels = per_picture > 0, per_picture.sum(0)
    valid, ignored = int(pixels.sum()), sum(sample.ignored for sample in samples)
    labelled = np.count_nonzero(holds.any(1))
    sizes = sorted((sample.size for sample in samples if sample.size), key=np.prod)
    ends_and_middle = {"smallest": 0, "median": len(sizes) // 2, "largest": -1} if sizes else {}
    frequency = pixels / np.maximum((holds * per_picture.sum(1, keepdims=True)).sum(0), 1)
    seen = frequency > 0
    median = float(np.median(frequency[seen])) if seen.any() else 1.0
    balanced = np.where(seen, median / np.where(seen, frequency, 1), 1)
    share = pixels / max(valid, 1)
    return {
        "images": len(samples),
        "labelled_images": int(labelled),
        "images_outside": sum(_is_outside(split.root, sample) for sample in samples),
        "sizes": {name: list(sizes[place]) for name, place in ends_and_middle.items()},
        "ignored_share": ignored / max(valid + ignored, 1),
        "classes": [
            {
                "name": printable(name),
                "pixel_share": round(float(share[i]), 6),
                "image_share": round(float(holds[:, i].sum() / max(labelled, 1)), 6),
                "median_frequency_weight": round(float(balanced[i]), 4),  # Eigen & Fergus, 2015
                "enet_weight": round(float(1 / np.log(1.02 + share[i])), 4),  # Paszke et al., 2016
            }
            for i, name in enumerate(names)
        ],
    }


def _is_outside(root: str, sample: Sample) -> bool:
    """Whether the image or its label lies elsewhere than in `root`, which training does not mind."""
    files = (sample.image, sample.label or sample.image)
    return any(os.path.relpath(file, root).split(os.sep)[0] == os.pardir for file in files)


def summary(report: dict) -> str:
    """The report in a few lines."""
    lines = []
    for name, split in report["splits"].items():
        sizes = ", ".join(f"{what} {width}x{height}" for what, (width, height) in split["sizes"].items())
        lines.append(
            f"{name}: {split['images']} images, {split['labelled_images']} with usable labels, "
            f"{split['ignored_share']:.2%} of their pixels ignored{sizes and f'; size: {sizes}'}"
        )
        if split["images_outside"]:
            lines.append(f"  {outside_note(split['images_outside'])}")
        if name == "train" and split["labelled_images"]:
            columns = {"median frequency weight": "median_frequency_weight", "ENet weight": "enet_weight"}
            weights = {title: [f"{c[key]:.3f}" for c in split["classes"]] for title, key in columns.items()}
            lines.append(class_table(split["classes"], weights))
    lines += problem_lines(report["problems"]) or ["", "no problems found"]
    return "\n".join(lines)


def outside_note(count: int) -> str:
    """What is said of images that are no problem, but may become one."""
    files = "image or its label lies" if count == 1 else "images or their labels lie"
    return f"note: {count} {files} outside of dataset_root: training reads them, but they do not move with the folder"


def problem_lines(problems: list[dict]) -> list[str]:
    """Each kind of problem with some of its files and the fix."""
    lines = []
    for problem in problems:
        files = problem["files"]
        lines += ["", f"{problem['kind']}: {problem['what']} ({len(files)})"]
        lines += [f"  {f['file']}{': ' * bool(f['detail'])}{f['detail']}" for f in files[:SHOWN_FILES]]
        if len(files) > SHOWN_FILES:
            lines.append(f"  and {len(files) - SHOWN_FILES} more")
        lines.append(f"  fix: {problem['fix']}")
    return lines


def class_table(classes: list[dict], weights: dict[str, list]) -> str:
    """Shares of the classes of a split, as the report has them, with columns of weights."""
    rows = [
        [i, c["name"], f"{c['pixel_share']:.2%}", f"{c['image_share']:.1%}", *column]
        for i, (c, column) in enumerate(zip(classes, zip(*weights.values())))
    ]
    return text_table(["", "class", "pixels", "images", *weights], rows, left="class")


def write_report(save_dir: str, report: dict, splits: list[Split], problems: list[Problem]) -> tuple[str, str]:
    """Write report.json and the self-contained page report.html; their paths."""
    os.makedirs(save_dir, exist_ok=True)
    json_path, html_path = (os.path.join(save_dir, f"report.{suffix}") for suffix in ("json", "html"))
    write_whole(json_path, json.dumps(report, indent=2))
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        report=report,
        colours=[f"rgb{tuple(colour)}" for colour in splits[0].classes.colours.tolist()] if splits else [],
        pictures=_worst_pictures(splits, problems),
        shown_files=SHOWN_FILES_IN_PAGE,
        outside_note=outside_note,
    )
    write_whole(html_path, page)
    return json_path, html_path


def printable(text: str) -> str:
    """`text` without what could harm a terminal or a page: control characters, undecodable bytes of file names."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _worst_pictures(splits: list[Split], problems: list[Problem]) -> dict[str, list[dict]]:
    """Of each kind, the images of which most is wrong, as data URIs."""
    by_name = {split.name: split for split in splits}
    shown: dict[str, list[dict]] = defaultdict(list)
    for problem in sorted(problems, key=lambda p: -p.extent):
        if len(shown[problem.kind]) < SHOWN_PICTURES and problem.image:
            split = by_name[problem.split]
            views = [_view_image(problem.image), _view_label(problem.label, split) if problem.label else None]
            if any(views):
                shown[problem.kind].append({"file": printable(problem.file), "views": [view for view in views if view]})
    return dict(shown)


def _view_image(path: str) -> str | None:
    try:
        with open_picture(path) as picture:
            image = picture.convert("RGB")
    except Exception:  # broken, which is why it is in the report
        return None
    image.thumbnail(THUMBNAIL)
    return _data_uri(image, "JPEG")


def _view_label(path: str, split: Split) -> str | None:
    """A label in the colours of its classes, ignored pixels grey, wrong ones magenta; a colour label as it is."""
    try:
        with open_picture(path) as picture:
            if picture.mode in ("1", "L", "P") or split.decoder.colours:
                colours = split.classes.colours.copy()
                colours[IGNORE_INDEX], colours[UNKNOWN] = IGNORED_COLOUR, WRONG_COLOUR
                image = Image.fromarray(colours[split.decoder.decode(picture)])
            else:
                image = picture.convert("RGB")
    except Exception:
        return None
    image.thumbnail(THUMBNAIL, Image.NEAREST)
    return _data_uri(image, "PNG")


def _data_uri(image: Image.Image, format_: str) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format_)
    return f"data:image/{format_.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
