"""Prints the table of docs/reliability.md: runs the tests behind each promise and counts their cases.

python tests/reliability.py > table.md
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROMISES = {  # what is promised: (the file of its tests, those of them that prove it)
    "Two processes: weights stay bit for bit equal from different starts; two nodes share the images": (
        "test_processes.py",
        "parameters_stay_equal or statistics_start_equal or two_nodes",
    ),
    "Two ranks have the gradients of one rank with both batches (1e-4)": (
        "test_processes.py",
        "gradients_of_one",
    ),
    "A rank whose pixels are all ignored does not stop the others": ("test_processes.py", "ignored_pixels_alone"),
    "No parameter is unused, whatever the labels": ("test_processes.py", "every_parameter"),
    "SyncBatchNorm replaces every batch norm, 1-D ones too": ("test_processes.py", "sync_batch_norm"),
    "Killed while it saves: the file is the old or the new one": ("test_trainer.py", "killed_while_saving"),
    "Killed at any moment: the resumed run ends with the losses, best scores and weights of an uninterrupted one": (
        "test_trainer.py",
        "killed_at_any_moment",
    ),
    "A resumed run goes on with the batch that comes next": ("test_trainer.py", "sampler or transforms_draw"),
    "Half-written checkpoints are not picked up; best scores and best models are": (
        "test_trainer.py",
        "whole_checkpoints or scores or best_model or no_checkpoint or optimiser_state",
    ),
    "The first loss that is not a number stops the run; the error names the loss, the iteration and the images": (
        "test_trainer.py",
        "no_number",
    ),
    "Losses and networks: finite at activations of 1e4 and 1e-8, float32 inside in bfloat16 and float16": (
        "test_numbers.py",
        "",
    ),
    "Damaged or malicious checkpoints, images, lists, palettes, YAMLs and exported folders end in a one-line error": (
        "test_hostile_checkpoints.py test_hostile_files.py test_hostile_input.py test_hostile_lists.py",
        "",
    ),
    "Memory and open files do not grow in 1000 iterations with workers": ("test_long_runs.py", "do_not_grow"),
    "A killed worker or a full /dev/shm: the error says how to fix it": ("test_long_runs.py", "is_told"),
}

NEEDS_ALL = ("test_trainer.py", "test_long_runs.py", "test_hostile_checkpoints.py")
"""Tests of promises that unmodified scripts keep with PADDLESEG_EXT_REPAIRS=all only."""


def main():
    print(
        f"Python {platform.python_version()}, paddle {version('paddlepaddle')}, paddleseg {version('paddleseg')}, "
        f"{os.cpu_count()} CPUs.\n\n| promise | policy | command | cases | lost |\n|---|---|---|---|---|"
    )
    lost_of_all = 0
    for promise, (files, selection) in PROMISES.items():
        command = ["pytest", *(f"tests/{name}" for name in files.split()), *(["-k", selection] if selection else [])]
        cases, lost = run(command)
        lost_of_all += lost
        shown = " ".join(f'"{part}"' if " " in part else part for part in command)
        policy = "`all`" if files.startswith(NEEDS_ALL) else "any"
        print(f"| {promise} | {policy} | `{shown}` | {cases} | {lost} |", flush=True)
    return 1 if lost_of_all else 0


def run(command: list[str]) -> tuple[int, int]:
    """(cases, those lost): a test counts as the number of cases that it records, or as one."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", *command, "-q", f"--junitxml={report}"]
        subprocess.run(command, cwd=ROOT, stdout=sys.stderr, env={**os.environ, "HOSTILE_EXAMPLES": "200"})
        cases = lost = 0
        for test in ElementTree.parse(report).iter("testcase"):
            if test.find("skipped") is not None:
                continue
            recorded = [int(one.get("value")) for one in test.iter("property") if one.get("name") == "cases"]
            cases += sum(recorded) or 1
            lost += test.find("failure") is not None or test.find("error") is not None
    return cases, lost


if __name__ == "__main__":
    sys.exit(main())
