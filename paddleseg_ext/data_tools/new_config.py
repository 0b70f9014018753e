"""From a folder of images and labels to lists, classes.txt and a YAML: what tools/new_config.py does."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import paddle

from paddleseg_ext.command import UserError
from paddleseg_ext.data_tools.check_report import class_table, make_report, outside_note, problem_lines
from paddleseg_ext.data_tools.checking import all_problems, check
from paddleseg_ext.data_tools.own_pairing import RENDERED
from paddleseg_ext.data_tools.own_splits import OwnSplits, own_splits
from paddleseg_ext.data_tools.problems import Problem
from paddleseg_ext.data_tools.proposal import config_text, propose
from paddleseg_ext.data_tools.random_split import divide
from paddleseg_ext.data_tools.splits import Sample, Split
from paddleseg_ext.datasets.description import CLASSES_FILE, classes_text
from paddleseg_ext.datasets.lists import SPLITS
from paddleseg_ext.files import replacing


def make_config(args, command: str) -> int:
    """Do what the flags `args` of tools/new_config.py say; `command` is what the YAML names as its origin.

    Returns:
        The exit status: 1 where the data has problems, which are printed; nothing is written then.

    Raises:
        UserError: a wrong flag, no images with labels, or a file that stands in the way.
    """
    ratios = _check_flags(args)
    root = args.dataset_root
    with own_splits(root, args.num_classes) as data:
        check(data.splits, args.num_workers)
        problems = all_problems(data.splits, args.ignore)
        if problems:
            _print_problems(data, problems)
            return 1
        for split in data.splits:  # of what --ignore has let pass, that with which nothing can be learnt
            split.samples = [s for s in split.samples if s.size and (s.pixels.any() or split.name == "test")]
        splits = divide(data.splits, ratios, args.seed)
        statistics = make_report(splits, [])["splits"]
        for name in ("train", "val"):
            if name not in statistics or not statistics[name]["labelled_images"]:
                raise UserError(f"{root}: no image of {name} has a label: label more, or change --split")
        train = statistics["train"]
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
        texts = {} if data.has_lists else _lists(splits, data)
        classes_path = os.path.join(root, CLASSES_FILE)
        if not os.path.isfile(classes_path):
            texts[classes_path] = classes_text(splits[0].classes.names, splits[0].classes.colours)
        texts[args.save_path] = config_text(
            args.network,
            proposal,
            command=command,
            root=root,
            lists={split.name: os.path.join(root, f"{split.name}.txt") for split in splits},
            separator=data.separator,
            channels=splits[0].channels,
            train=train,
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


def _print_problems(data: OwnSplits, problems: list[Problem]) -> None:
    named = [replace(problem, file=data.drawn_from.get(problem.file, problem.file)) for problem in problems]
    print("\n".join(problem_lines(make_report(data.splits, named)["problems"])))
    if {"label_range", "label_one_based"} & {problem.kind for problem in problems}:
        number = len(data.splits[0].classes)
        print(f"\n{number} classes, 0 to {number - 1}, are expected; if there are more, give --num_classes")
    print(f"error: {len(problems)} problems; nothing was written", file=sys.stderr)


def _lists(splits: list[Split], data: OwnSplits) -> dict[str, str]:
    """Path -> text of each split's list."""

    def line(split: Split, sample: Sample) -> str:
        picture = os.path.relpath(sample.image, split.root)
        if sample.label is None:
            return picture
        return data.separator.join([picture, os.path.relpath(sample.label, data.drawn or split.root)])

    return {
        os.path.join(split.root, f"{split.name}.txt"): "".join(f"{line(split, sample)}\n" for sample in split.samples)
        for split in splits
    }


def _write(texts: dict[str, str], data: OwnSplits, root: str) -> None:
    """Write all files or, where one cannot be written, none; and put the drawn labels into their place."""
    with ExitStack() as stack:  # which gives the files their names at its end
        for path, text in texts.items():
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
            with open(stack.enter_context(replacing(path)), "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
        if data.drawn:
            target = os.path.join(root, RENDERED)
            shutil.rmtree(target, ignore_errors=True)  # of an earlier call; it is drawn anew from the JSON
            os.replace(os.path.join(data.drawn, RENDERED), target)


def _summary(statistics: dict, proposal, written: list[str], args) -> str:
    train = statistics["train"]
    counts = ", ".join(f"{name}: {split['images']} images" for name, split in statistics.items())
    lines = [counts, class_table(train["classes"], {"weight": proposal.weights})]
    lines += [outside_note(number) for split in statistics.values() if (number := split["images_outside"])]
    for name in ("train", "val"):
        absent = [c["name"] for c in statistics[name]["classes"] if c["pixel_share"] == 0]
        if absent:
            lines.append(f"warning: no image of {name} has {', '.join(absent)}: label more, or try another --seed")
    device = "" if paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count() else " --device cpu"
    folder = os.path.join("output", Path(args.save_path).stem)
    config, save_dir, model = map(shlex.quote, (args.save_path, folder, f"{folder}/best_model/model.pdparams"))
    interval = max(1, proposal.iters // 10)
    lines += [
        f"crop {proposal.crop[0]}x{proposal.crop[1]}, batch {proposal.batch}, {proposal.iters} iterations "
        f"({proposal.epochs} epochs), learning rate {proposal.learning_rate}",
        f"written: {', '.join(written)}",
        "",
        "next:",
        f"  paddleseg-ext train --config {config}{device} --do_eval --use_vdl --save_interval {interval} "
        f"--save_dir {save_dir}",
        f"  paddleseg-ext val --config {config}{device} --model_path {model}",
    ]
    if train["classes"][0]["name"] == "class 0":
        path = os.path.join(args.dataset_root, CLASSES_FILE)
        lines.insert(-4, f"name the classes in {path}: one line `name R G B` for each")
    return "\n".join(lines)
