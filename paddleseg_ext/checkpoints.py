"""What a training leaves in its folder: its YAML and checkpoints ``iter_N``."""

from __future__ import annotations

import os

RUN_CONFIG = "config.yml"
"""The whole YAML of the training."""

WEIGHTS = "model.pdparams"


def numbered_checkpoints(save_dir: str) -> list[tuple[int, str]]:
    """(iteration, folder) of each checkpoint in `save_dir`, complete or not, in the order of iterations."""
    found = []
    for name in os.listdir(save_dir):
        folder, iteration = os.path.join(save_dir, name), iteration_of(name)
        if iteration is not None and os.path.isdir(folder):
            found.append((iteration, folder))
    return sorted(found)


def iteration_of(folder: str) -> int | None:
    """The N of a folder that is called ``iter_N``; None for other names."""
    prefix, _, number = os.path.basename(os.path.normpath(folder)).rpartition("_")
    return int(number) if prefix == "iter" and number.isdecimal() else None


def newest_checkpoint(save_dir: str, use_ema: bool = False) -> str | None:
    """The newest complete checkpoint in `save_dir`; None if it holds none."""
    complete = [folder for _, folder in numbered_checkpoints(save_dir) if not missing_files(folder, use_ema)]
    return complete[-1] if complete else None


def missing_files(checkpoint: str, use_ema: bool = False) -> list[str]:
    """What a checkpoint lacks to go on from; a run that was killed while it wrote leaves one with gaps."""
    files = [WEIGHTS, "model.pdopt", *(["ema_model.pdparams"] if use_ema else [])]
    return [name for name in files if not os.path.isfile(os.path.join(checkpoint, name))]
