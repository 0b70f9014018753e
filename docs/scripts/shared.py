"""What the scripts share: docs/results, this package's tools, and what a training has left."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from paddleseg_ext.checkpoints import numbered_checkpoints
from paddleseg_ext.files import write_whole

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "results"


def write_result(name: str, result: dict) -> None:
    """Write docs/results/`name`.json."""
    path = RESULTS / f"{name}.json"
    write_whole(str(path), json.dumps(result, indent=1) + "\n")
    print(f"Written: {path}")


def tool(name: str, *flags: str) -> None:
    """Run tools/`name`.py in the repository's folder, where the paths in YAMLs begin."""
    subprocess.run([sys.executable, str(ROOT / "tools" / f"{name}.py"), *flags], cwd=ROOT, check=True)


def scores_of_training(config: Path, save_dir: Path, seed: int, iters: int) -> dict[str, float]:
    """Train on the CPU; the mIoU and the IoU of each class on the validation images after `iters` iterations."""
    flags = ("--config", str(config), "--device", "cpu", "--save_dir", str(save_dir))
    tool("train", *flags, "--seed", str(seed), "--save_interval", str(iters))
    tool("val", *flags, "--model_path", f"{save_dir}/iter_{iters}/model.pdparams", "--boundary")
    scores = json.loads((save_dir / "boundary.json").read_text())
    return {"mIoU": scores["mIoU"], **{name: one["iou"] for name, one in scores["classes"].items()}}


def in_processor_time(measure, *args):
    """What `measure` finds if its clock counts this process's seconds on a processor."""
    time.perf_counter = time.process_time
    return measure(*args)


def percent(share: float) -> float:
    return round(100 * float(share), 2)


def value_of(flag: str, command: list[str]) -> str:
    return command[command.index(flag) + 1]


def best_score(run_dir: Path | str, model: str = "model") -> dict:
    """The best mIoU on the validation images during the training, and its iteration."""
    _, newest = numbered_checkpoints(str(run_dir))[-1]
    score, iteration = json.loads(Path(newest, "scores.json").read_text())[model]
    return {"mIoU": percent(score), "iteration": iteration}
