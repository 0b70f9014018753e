"""From a folder of images and labels to lists, classes.txt and a YAML: what tools/new_config.py does."""

from __future__ import annotations

import os
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import paddle
from paddleseg.datasets import Dataset
from tqdm import tqdm

from paddleseg_ext.command import UserError
from paddleseg_ext.data_tools.check_report import make_report, outside_note, printable, problem_lines
from paddleseg_ext.data_tools.checking import all_problems, check
from paddleseg_ext.data_tools.inspection import Finding
from paddleseg_ext.data_tools.own_data import RENDERED
from paddleseg_ext.data_tools.own_splits import UNDIVIDED, OwnSplits, own_splits
from paddleseg_ext.data_tools.proposal import config_text, propose
from paddleseg_ext.data_tools.splits import Sample, Split, new_split
from paddleseg_ext.data_tools.splitting import assign_splits
from paddleseg_ext.datasets.description import CLASSES_FILE, classes_text
from paddleseg_ext.datasets.lists import SPLITS
from paddleseg_ext.datasets.palettes import UNKNOWN
from paddleseg_ext.files import open_picture, replacing
from paddleseg_ext.tables import text_table

FEW_LABELS = 10
"""From as many labels on, a value that a single one holds is taken for a mistake rather than for a class."""


def make_config(args, command: str) -> int:
    """Do what the flags `args` of tools/new_config.py say; `command` is what the YAML names as its origin.

    Returns:
        The exit status: 1 where the data has problems, which are printed; nothing is written then.

    Raises:
        UserError: a wrong flag, no images with labels, or a file that stands in the way.
    """
    ratios = _check_flags(args)
    root = args.dataset_root
    with own_splits(root) as data:
        _set_classes(data, root, args.num_classes)
        findings = check(data.splits, args.num_workers)
        problems = all_problems(data.splits, findings, args.ignore)
        if problems:
            named = [replace(p, file=data.drawn_from.get(p.file, p.file)) for p in problems]
            print("\n".join(problem_lines(make_report(data.splits, findings, named)["problems"])))
            if {"label_range", "label_one_based"} & {problem.kind for problem in problems}:
                number = len(data.splits[0].class_names)
                print(f"\n{number} classes, 0 to {number - 1}, are expected; if there are more, give --num_classes")
            print(f"error: {len(problems)} problems; nothing was written", file=sys.stderr)
            return 1
        _leave_out_unusable(data.splits, findings)
        splits, findings = _divide(data, findings, root, ratios, args.seed)
        statistics = make_report(splits, findings, [])["splits"]
        train = statistics["train"]
        for name in ("train", "val"):
            if not statistics[name]["labelled_images"]:
                raise UserError(f"{root}: no image of {name} has a label: label more, or change --split")
        if args.batch_size and args.batch_size > train["images"]:
            raise UserError(f"--batch_size {args.batch_size}: there are only {train['images']} training images")
        proposal = propose(
            args.network,
            train["images"],
            tuple(train["sizes"]["median"]),
            [c["median_frequency_weight"] for c in train["classes"]],
            args.crop_size and tuple(args.crop_size),
            args.batch_size,
            args.iters,
        )
        texts = {} if data.has_lists else _lists(splits, root, data)
        classes_path = os.path.join(root, CLASSES_FILE)
        if not os.path.isfile(classes_path):
            names = splits[0].class_names
            texts[classes_path] = classes_text(names, splits[0].colours[: len(names)])
        texts[args.save_path] = config_text(
            args.network,
            proposal,
            command=command,
            root=root,
            lists={split.name: os.path.join(root, f"{split.name}.txt") for split in splits},
            separator=data.separator,
            names=[printable(name) for name in splits[0].class_names],
            shares=[c["pixel_share"] for c in train["classes"]],
            pictures=train["images"],
            channels=splits[0].channels,
            size=train["sizes"]["median"],
        )
        _write(texts, data, root)
    if data.has_lists:
        print(f"the lists in {root} are used as they are; remove them to split the images (and draw the JSON) again")
    print(_summary(statistics, proposal, [*texts], args))
    return 0


def _check_flags(args) -> dict[str, float]:
    """The share of each split."""
    if not os.path.isdir(args.dataset_root):
        raise UserError(f"--dataset_root {args.dataset_root}: there is no such folder")
    if not args.save_path.endswith((".yml", ".yaml")):
        raise UserError(f"--save_path {args.save_path}: PaddleSeg takes names that end in .yml or .yaml")
    if os.path.exists(args.save_path):
        raise UserError(f"--save_path {args.save_path}: this file exists: take another name or remove it")
    folder = next(path for path in Path(args.save_path).absolute().parents if path.exists())
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise UserError(f"--save_path {args.save_path}: {folder} is not a folder that can be written to: take another")
    wrong = min(args.split) < 0 or 0 in args.split[:2] or abs(sum(args.split) - 1) > 1e-6
    if wrong or len(args.split) not in (2, 3):
        raise UserError(f"--split {' '.join(map(str, args.split))}: give shares of train, val (and test) that sum to 1")
    for flag, value in (("crop_size", args.crop_size), ("batch_size", args.batch_size), ("iters", args.iters)):
        if value is not None and np.min(value) < 1:
            raise UserError(f"--{flag} {value}: expected at least 1")
    return {split: ratio for split, ratio in zip(SPLITS, args.split) if ratio > 0}


# ------------------------------------------------------------------------------------------ classes and splits


def _set_classes(data: OwnSplits, root: str, num_classes: int | None) -> None:
    """Give the splits their classes: those of classes.txt, of the JSON, of --num_classes, or as labels hold them."""
    labels = [sample.label for split in data.splits for sample in split.samples if sample.label]
    if os.path.isfile(os.path.join(root, CLASSES_FILE)):
        settings = {"num_classes": num_classes}
    else:
        settings = {"num_classes": num_classes or (len(data.names) if data.names else _count_classes(labels))}
    for split in data.splits:
        known = new_split(Dataset, {"dataset_root": root, **settings}, split.name)
        split.class_names, split.colours, split.decoder = known.class_names, known.colours, known.decoder
        if data.names:
            split.class_names = list(data.names)
        elif not os.path.isfile(os.path.join(root, CLASSES_FILE)):
            split.colours = _palette(labels, split.colours, len(split.class_names))


def _count_classes(labels: Sequence[str]) -> int:
    """How many values follow one another from 0, or 1 if there is no 0.

    A value after a gap, or in one of many labels only, is no class but for the check to complain about.
    """
    seen: Counter = Counter()
    for path in tqdm(labels, desc="counting classes", unit="label"):
        try:
            with open_picture(path) as label:
                if label.mode in ("L", "P", "1"):
                    seen.update(np.bincount(np.asarray(label, np.uint8).ravel(), minlength=256).nonzero()[0].tolist())
        except Exception:  # broken, which the check says
            continue
    first = 0 if seen[0] else 1
    number = 0
    while seen[first + number] > (len(labels) >= FEW_LABELS) and first + number < UNKNOWN - 1:
        number += 1
    return max(number, 1)


def _palette(labels: Sequence[str], colours: np.ndarray, num_classes: int) -> np.ndarray:
    """`colours` with those of the first label's palette, if it has one that tells the classes apart."""
    try:
        with open_picture(labels[0]) as label:
            palette = np.array(label.getpalette("RGB") or [], np.uint8).reshape(-1, 3)[:num_classes]
    except Exception:  # no label, or a broken one, which the check says
        return colours
    grey = (palette == np.arange(len(palette), dtype=np.uint8)[:, None]).all()
    if len(np.unique(palette, axis=0)) < num_classes or grey:
        return colours
    return np.concatenate([palette, colours[num_classes:]])


def _leave_out_unusable(splits: list[Split], findings: dict[str, list[Finding]]) -> None:
    """Take out the images of which only --ignore has let a mistake pass with which nothing can be learnt."""
    for split in splits:
        kept = [
            (sample, finding)
            for sample, finding in zip(split.samples, findings[split.name])
            if finding.size and (finding.pixels.any() or split.name == "test")
        ]
        split.samples, findings[split.name] = [s for s, _ in kept], [f for _, f in kept]


def _divide(
    data: OwnSplits, findings: dict[str, list[Finding]], root: str, ratios: dict[str, float], seed: int
) -> tuple[list[Split], dict[str, list[Finding]]]:
    """The splits train, val and maybe test: those of the folders and lists, or made of the undivided images."""
    whole = next((split for split in data.splits if split.name == UNDIVIDED), None)
    if whole is None:
        return data.splits, findings
    test = [split for split in data.splits if split.name == "test"]
    if test:
        ratios = {"train": ratios["train"] / (ratios["train"] + ratios["val"])}
        ratios["val"] = 1 - ratios["train"]
    if len(whole.samples) < len(ratios):
        raise UserError(f"{root}: {len(whole.samples)} images with labels: at least {len(ratios)} are needed")
    names = [os.path.relpath(sample.image, root) for sample in whole.samples]
    holds = np.array([finding.pixels > 0 for finding in findings[UNDIVIDED]])
    digests = [finding.digest for finding in findings[UNDIVIDED]]
    assigned = assign_splits(names, holds, digests, ratios, seed)
    splits, divided = [], {}
    for name in ratios:
        chosen = [i for i, split in enumerate(assigned) if split == name]
        splits.append(replace(whole, name=name, samples=[whole.samples[i] for i in chosen], problems=[]))
        divided[name] = [findings[UNDIVIDED][i] for i in chosen]
    return splits + test, {**divided, **{split.name: findings[split.name] for split in test}}


# ------------------------------------------------------------------------------------------ files and words


def _lists(splits: list[Split], root: str, data: OwnSplits) -> dict[str, str]:
    """Path -> text of each split's list."""

    def line(sample: Sample) -> str:
        picture = Path(sample.image).relative_to(root).as_posix()
        if sample.label is None:
            return picture
        if sample.label in data.drawn_from:
            return data.separator.join([picture, f"{RENDERED}/{Path(picture).with_suffix('.png').as_posix()}"])
        return data.separator.join([picture, Path(sample.label).relative_to(root).as_posix()])

    return {
        os.path.join(root, f"{split.name}.txt"): "".join(f"{line(sample)}\n" for sample in split.samples)
        for split in splits
    }


def _write(texts: dict[str, str], data: OwnSplits, root: str) -> None:
    """Write all files or, where one cannot be written, none; and put the drawn labels into their place."""
    with ExitStack() as stack:  # which gives the files their names at its end
        for path, text in texts.items():
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
            with open(stack.enter_context(replacing(path)), "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
        if data.drawn_from:
            drawn = os.path.join(root, Path(next(iter(data.drawn_from))).relative_to(root).parts[0])
            target = os.path.join(root, RENDERED)
            shutil.rmtree(target, ignore_errors=True)  # of an earlier call; it is drawn anew from the JSON
            os.chmod(drawn, 0o755)  # a temporary folder is for its owner alone
            os.replace(drawn, target)


def _summary(statistics: dict, proposal, written: list[str], args) -> str:
    train = statistics["train"]
    rows = [
        [i, printable(c["name"]), f"{c['pixel_share']:.2%}", f"{c['image_share']:.1%}", weight]
        for i, (c, weight) in enumerate(zip(train["classes"], proposal.weights))
    ]
    table = text_table(["", "class", "pixels", "images", "weight"], rows, left="class")
    counts = ", ".join(f"{name}: {split['images']} images" for name, split in statistics.items())
    lines = [counts, table]
    lines += [outside_note(number) for split in statistics.values() if (number := split["images_outside"])]
    for name in ("train", "val"):
        absent = [c["name"] for c in statistics[name]["classes"] if c["pixel_share"] == 0]
        if absent:
            lines.append(f"warning: no image of {name} has {', '.join(absent)}: label more, or try another --seed")
    device = "" if paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count() else " --device cpu"
    save_dir = os.path.join("output", Path(args.save_path).stem)
    interval = max(1, proposal.iters // 10)
    lines += [
        f"crop {proposal.crop[0]}x{proposal.crop[1]}, batch {proposal.batch}, {proposal.iters} iterations "
        f"({proposal.epochs} epochs), learning rate {proposal.learning_rate}",
        f"written: {', '.join(written)}",
        "",
        "next:",
        f"  paddleseg-ext train --config {args.save_path}{device} --do_eval --use_vdl --save_interval {interval} "
        f"--save_dir {save_dir}",
        f"  paddleseg-ext val --config {args.save_path}{device} --model_path {save_dir}/best_model/model.pdparams",
    ]
    if train["classes"][0]["name"] == "class 0":
        path = os.path.join(args.dataset_root, CLASSES_FILE)
        lines.insert(-4, f"name the classes in {path}: one line `name R G B` for each")
    return "\n".join(lines)
