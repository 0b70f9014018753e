"""Fill in the tables of the documentation from docs/results, so that no figure is copied by hand.

    python docs/make_figures.py           # rewrite them
    python docs/make_figures.py --check   # exit status 1 if one is not up to date

A table stands in a Markdown file between `<!-- table: NAME -->` and `<!-- end -->`; NAME is a key of TABLES. The
results are written by docs/measure_run.py.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

DOCS = Path(__file__).resolve().parent
PAGES = [*DOCS.glob("*.md"), *DOCS.parent.glob("*.md"), *DOCS.parent.glob("configs/*/*.md")]
MARKED = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
SMALL_CLASSES = ("Pole", "SignSymbol", "Pedestrian", "Bicyclist")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, say which pages are not up to date")
    check = parser.parse_args().check
    stale = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        filled = fill_in(text)
        if filled != text:
            stale.append(page)
            if not check:
                page.write_text(filled, encoding="utf-8")
    for page in stale:
        print(f"{page.relative_to(DOCS.parent)}: {'not up to date: run docs/make_figures.py' if check else 'written'}")
    return 1 if check and stale else 0


def fill_in(text: str) -> str:
    """`text` with each marked table made anew."""
    return MARKED.sub(lambda match: f"{match[1]}{TABLES[match[2]]()}{match[3]}", text)


def results(pattern: str) -> dict[str, dict]:
    """{name: result} of the files in docs/results that `pattern` matches."""
    return {path.stem: json.loads(path.read_text()) for path in sorted((DOCS / "results").glob(f"{pattern}.json"))}


def markdown(header: Sequence[str], rows: Sequence[Sequence]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def with_means(rows: list[list], label: str) -> list[list]:
    """`rows` (label, seed, figures ...) and, of two or more, a row of their means."""
    if len(rows) < 2:
        return rows
    means = [f"{statistics.mean(float(cell) for cell in column):.2f}" for column in list(zip(*rows))[2:]]
    return [*rows, [f"{label}, mean", "", *means]]


def camvid_table(runs: Sequence[tuple[str, str]], figures: dict[str, Callable[[dict], float]]) -> str:
    """A row a seed for each (label, pattern of results), with the `figures`."""
    rows = []
    for label, pattern in runs:
        seeds = [
            [
                label,
                f"[{run['seed']}](../../docs/results/{name}.csv)",
                *(f"{figure(run):.2f}" for figure in figures.values()),
            ]
            for name, run in results(pattern).items()
        ]
        rows += with_means(seeds, label)
    return markdown(["", "seed", *figures], rows)


def encnet_camvid() -> str:
    figures = {
        "val mIoU": lambda run: run["val"]["mIoU"],
        "test mIoU": lambda run: run["test"]["mIoU"],
        **{f"val {name}": lambda run, name=name: run["val"]["IoU"][name] for name in SMALL_CLASSES},
    }
    runs = [
        ("FCN of PaddleSeg", "fcn_seed?"),
        ("EncNet without the SE loss", "encnet_no_se_seed?"),
        ("EncNet", "encnet_seed?"),
    ]
    return camvid_table(runs, figures)


def encnet_presence() -> str:
    rows = [
        [
            run["seed"],
            *(
                f"{run[split]['presence'][key]:.2f}"
                for split in ("val", "test")
                for key in ("average_precision", "prior")
            ),
        ]
        for run in results("encnet_seed?").values()
    ]
    return markdown(["seed", "val average precision", "val prior", "test average precision", "test prior"], rows)


def sanet_camvid() -> str:
    figures = {
        "val mIoU": lambda run: run["val"]["mIoU"],
        "val accuracy": lambda run: run["val"]["accuracy"],
        "test mIoU": lambda run: run["test"]["mIoU"],
        "test accuracy": lambda run: run["test"]["accuracy"],
        "val boundary F-score, 2 px": lambda run: run["val"]["boundary_f_score"]["2"],
    }
    return camvid_table([("our recipe", "sanet_s_adamw_seed?"), ("the authors' recipe", "sanet_s_seed?")], figures)


ABLATION = {  # pattern of results: label
    "boundary_base_seed?": "SANet-S, cross entropy",
    "boundary_bce_seed?": "+ boundary head with `BoundaryBCELoss`",
    "boundary_active_seed?": "+ `ActiveBoundaryLoss`",
    "boundary_dou_seed?": "+ `BoundaryDoULoss`",
    "boundary_pp_liteseg_base_seed?": "PP-LiteSeg (STDC1), cross entropy",
    "boundary_pp_liteseg_active_seed?": "+ `ActiveBoundaryLoss`",
    "boundary_pp_liteseg_dou_seed?": "+ `BoundaryDoULoss`",
}


def boundary_ablation(split: str) -> str:
    """Mean and, of several seeds, half the distance of the highest and the lowest; what was not trained has no row."""
    rows = []
    for pattern, label in ABLATION.items():
        runs = [run[split] for run in results(pattern).values()]
        if runs:
            figures = [
                [run["mIoU"] for run in runs],
                *([run[key][width] for run in runs] for key in ("boundary_iou", "boundary_f_score") for width in "124"),
            ]
            rows.append([label, len(runs), *map(_mean_and_spread, figures)])
    widths = [f"{name}, {width} px" for name in ("boundary IoU", "F-score") for width in "124"]
    return markdown(["", "seeds", "mIoU", *widths], rows)


def _mean_and_spread(values: list[float]) -> str:
    spread = f" ± {(max(values) - min(values)) / 2:.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{spread}"


def boundary_cost() -> str:
    rows = []
    for cost in results("boundary_cost_*").values():
        width, height = cost["size"]
        for name, figure in cost["losses"].items():
            label = name.replace("-SciPy", ", distances by SciPy on the host")
            share = figure["low"] / cost["step"]
            rows.append(
                [
                    f"{width}x{height}, batch {cost['batch']}, {cost['num_classes']} classes",
                    label,
                    f"{1e3 * figure['low']:.0f} ms",
                    f"{share:.1%}",
                    f"{figure['extra_memory'] / 1e6:.0f} MB",
                    f"{figure['extra_memory'] / (4 * cost['batch'] * cost['num_classes'] * width * height):.1f}",
                ]
            )
    return markdown(["crops", "loss", "forward and backward", "of a step", "memory", "in copies of the logits"], rows)


def rare_class() -> str:
    report = json.loads((DOCS / "own_data" / "rare_class.json").read_text())
    scores = [name for name in report["runs"][0] if name not in ("weights", "seed")]
    rows = [[run["weights"], run["seed"], *(f"{100 * run[name]:.1f}" for name in scores)] for run in report["runs"]]
    return markdown(["weights", "seed", *scores], rows)


TABLES = {
    "encnet_camvid": encnet_camvid,
    "encnet_presence": encnet_presence,
    "sanet_camvid": sanet_camvid,
    "boundary_ablation_val": lambda: boundary_ablation("val"),
    "boundary_ablation_test": lambda: boundary_ablation("test"),
    "boundary_cost": boundary_cost,
    "rare_class": rare_class,
}


if __name__ == "__main__":
    sys.exit(main())
