"""The scalars of a training with --use_vdl as a CSV file (a line an iteration) and a picture of its curves."""

import argparse
import csv
import io
import os
from collections import Counter
from glob import glob

from paddleseg_ext.command import UserError, run


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log_dir", required=True, help="the --save_dir of the training")
    parser.add_argument("--save_dir", default="./output/curves", help="folder for both files (default: %(default)s)")
    return parser.parse_args()


def main(args):
    from paddleseg_ext.files import write_whole

    scalars = read_scalars(args.log_dir)
    os.makedirs(args.save_dir, exist_ok=True)
    path = os.path.join(args.save_dir, "training.csv")
    tags = sorted(tag for tag in scalars if not tag.endswith("_cost") and not tag.startswith("Seconds per step/"))
    iterations = sorted({iteration for tag in tags for iteration in scalars[tag]})
    lines = [["iteration", *tags]]
    lines += [[i, *(f"{scalars[tag][i]:.6g}" if i in scalars[tag] else "" for tag in tags)] for i in iterations]
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows(lines)
    write_whole(path, table.getvalue())
    plot({tag: scalars[tag] for tag in tags}, os.path.join(args.save_dir, "training.png"))
    print(f"Written: {path} ({len(iterations)} iterations) and {args.save_dir}/training.png")


def read_scalars(log_dir: str) -> dict[str, dict[int, float]]:
    """{tag: {iteration: value}}; where a run was interrupted, the resumed one counts."""
    from visualdl import LogReader

    logs = sorted(glob(os.path.join(log_dir, "vdlrecords.*.log")))
    if not logs:
        raise UserError(f"--log_dir {log_dir}: holds no vdlrecords.*.log: train with --use_vdl")
    scalars = {}
    for log in logs:
        reader = LogReader(file_path=log)
        for tag in reader.get_tags().get("scalar", []):
            scalars.setdefault(tag, {}).update((record.id, record.value) for record in reader.get_data("scalar", tag))
    return scalars


def plot(scalars: dict[str, dict[int, float]], path: str) -> None:
    """Losses, then scores, then the IoU of each class where it was logged."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import LogLocator

    # of more than ten classes, too, each gets a line of its own
    styles = pyplot.cycler(linestyle=["-", "--", ":"]) * pyplot.cycler(color=pyplot.colormaps["tab10"].colors)
    pyplot.rc("axes", prop_cycle=styles)
    titles = ["losses with their coefficients, and their sum", "validation"]
    if any(tag.startswith("IoU/") for tag in scalars):
        titles.append("validation: IoU by class")
    longest_legend = max(Counter(tag.partition("/")[0] for tag in scalars).values()) / 2
    size = 5 * len(titles), 4 + 0.2 * longest_legend
    chart, charts = pyplot.subplots(1, len(titles), figsize=size, constrained_layout=True)
    for tag, values in scalars.items():
        if tag in ("Train/lr", "Evaluate/best mIoU"):
            continue
        group, _, name = tag.partition("/")
        if tag == "Evaluate/loss":
            group, name = "Train", "validation: first loss"
        axes = charts[{"Train": 0, "IoU": 2}.get(group, 1)]
        marker = "o" if tag.startswith(("Evaluate/", "IoU/")) else ""
        axes.plot(*zip(*sorted(values.items())), label=name, marker=marker)
    charts[0].set_yscale("log")
    charts[0].yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
    charts[0].yaxis.set_major_formatter("{x:g}")
    charts[0].yaxis.set_minor_formatter("{x:g}")
    for axes, title in zip(charts, titles):
        axes.set_title(title)
        axes.set_xlabel("iteration")
        axes.grid(alpha=0.3)
        if axes.has_data():
            axes.legend(fontsize=8, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.13))
    chart.savefig(path, dpi=110)
    pyplot.close(chart)


if __name__ == "__main__":
    run(main, parse_args)
