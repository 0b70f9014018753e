"""Fill in the figures of the documentation from docs/results and draw its curves, so that nothing is copied by hand.

    python docs/scripts/make_figures.py           # rewrite them
    python docs/scripts/make_figures.py --check   # write nothing; exit status 1 if a page is not up to date

A page holds a table between `<!-- table: NAME -->` and `<!-- end -->`, NAME being a key of `tables.TABLES`, and a
figure within a line between `<!-- figure: FILE.KEY.KEY FORMAT -->` and `<!-- end -->`: what docs/results/FILE.json has
under these keys, by a format of Python like `.1f`. The scripts measure_*.py and compare_*.py write these files; what
pages quote from elsewhere stands in docs/quoted.json with its source.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

from tables import ENCNET_RUNS, RESULTS, TABLES, UP

DOCS = Path(__file__).resolve().parents[1]
PAGES = [*DOCS.glob("*.md"), *DOCS.parent.glob("*.md"), *DOCS.parent.glob("configs/*/*.md")]
TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
FIGURE = re.compile(r"(<!-- figure: (\w+)((?:\.\w+)+)(?: (\S+))? -->)[^\n]*?(<!-- end -->)")
CURVES = {  # image in docs/results: label and pattern of the results
    "sanet_camvid": {
        "our recipe": "sanet_s_clip_seed?",
        "corners aligned": "sanet_s_clip_aligned_seed?",
        "corners aligned, without clipping": "boundary_dou_seed?",
        "the authors' recipe": "sanet_s_seed?",
        "the same, corners not aligned, aux over valid pixels": "sanet_s_not_aligned_seed[12]",  # of six
    },
    "sanet_camvid_long": {"our recipe, longer": "sanet_s_long_seed?"},
    "encnet_camvid": ENCNET_RUNS,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, say which pages are not up to date")
    check = parser.parse_args().check
    stale = []
    if not check:
        for name, runs in CURVES.items():
            draw_curves(name, runs)
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        filled = fill_in(text, page.parent)
        if filled != text:
            stale.append(page)
            if not check:
                page.write_text(filled, encoding="utf-8")
    for page in stale:
        state = "not up to date: run docs/scripts/make_figures.py" if check else "written"
        print(f"{page.relative_to(DOCS.parent)}: {state}")
    return 1 if check and stale else 0


def fill_in(text: str, folder: Path) -> str:
    """The `text` of a page in `folder` with each marked table and figure made anew."""
    text = TABLE.sub(lambda match: f"{match[1]}{TABLES[match[2]]()}{match[3]}", text)
    text = text.replace(f"]({UP}/{folder.relative_to(DOCS.parent)}/", "](")  # what lies beside the page
    return FIGURE.sub(lambda match: f"{match[1]}{figure(match[2], match[3], match[4] or '')}{match[5]}", text)


def figure(name: str, keys: str, form: str) -> str:
    """What docs/results/`name`.json has under `keys` (".val.mIoU"), in the format `form`."""
    value = json.loads((RESULTS / f"{name}.json").read_text())
    for key in keys.split(".")[1:]:
        value = value[int(key) if isinstance(value, list) else key]
    return format(value, form)


def draw_curves(name: str, runs: dict[str, str]) -> None:
    """Training loss and validation mIoU over the iterations, a line for each result that is there."""
    import csv

    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    found = [(label, path) for label, pattern in runs.items() for path in sorted(RESULTS.glob(f"{pattern}.csv"))]
    if not found:
        return
    chart, axes = pyplot.subplots(1, 2, figsize=(11, 4.4), constrained_layout=True)
    colours = dict(zip(runs, pyplot.rcParams["axes.prop_cycle"].by_key()["color"]))
    for label, path in found:
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        seed = path.stem[-1]
        style = {"color": colours[label], "linestyle": {"1": "-", "2": "--"}.get(seed, ":")}
        for place, tag, scale in zip(axes, ("Train/loss", "Evaluate/mIoU"), (1, 100)):
            points = [(int(row["iteration"]), scale * float(row[tag])) for row in rows if row.get(tag)]
            place.plot(*zip(*points), label=f"{label}, seed {seed}", **style)
    for place, title in zip(axes, ("training loss, sum of its parts", "validation mIoU, %")):
        place.set_title(title)
        place.set_xlabel("iteration")
        place.grid(alpha=0.3)
    axes[0].set_yscale("log")
    chart.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8)
    chart.savefig(RESULTS / f"{name}.png", dpi=90)
    pyplot.close(chart)


if __name__ == "__main__":
    sys.exit(main())
