"""Run `make demo` and keep what it takes and what comes out in docs/results/demo.json.

    python docs/scripts/measure_demo.py

The demo runs in the environment of the Python that runs this script, so that installation does not count.
make_figures.py puts the figures into the pages.
"""

from __future__ import annotations

import importlib.metadata
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import yaml
from shared import ROOT, best_score, value_of, write_result

from paddleseg_ext.benchmarks.measuring import conditions

RUN = ROOT / "output" / "demo"
COMMAND = ["make", "demo"]


def main() -> None:
    where = conditions("cpu", os.cpu_count())
    start = time.perf_counter()
    # an environment that is "old" is not set up again
    subprocess.run([*COMMAND, "-o", ".venv/ready", f"BIN={Path(sys.executable).parent}"], cwd=ROOT, check=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = {
        "seconds": round(time.perf_counter() - start),
        "processor_seconds": round(used.ru_utime + used.ru_stime),
        **of_run(RUN),
        "machine": f"{where['processor']}, {where['cores']} cores",
        "load_average_at_the_start": where["load average at the start"],
    }
    write_result("demo", result)


def of_run(run_dir: Path) -> dict:
    """What the folder of a finished demo says: how it was trained, and the score of its best model."""
    start = yaml.safe_load((run_dir / "run.yml").read_text())[-1]
    return {
        "command": " ".join(COMMAND),
        "stack": {name: importlib.metadata.version(name) for name in ("paddlepaddle", "paddleseg")},
        "seed": int(value_of("--seed", start["command"].split())),
        "iterations": start["iterations"],
        "val_mIoU": best_score(run_dir)["mIoU"],
    }


if __name__ == "__main__":
    main()
