"""The scalars that a training logged for VisualDL, as a table and as curves."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from glob import escape, glob

from paddleseg_ext.command import UserError

Scalars = dict[str, dict[int, float]]
"""{tag: {iteration: value}}."""


def read_scalars(log_dir: str) -> Scalars:
    """Losses, learning rate and scores, without times; where a run was interrupted, the resumed one counts.

    Raises:
        UserError: no log, or none of these in it.
    """
    from visualdl import LogReader

    logs = sorted(glob(os.path.join(escape(log_dir), "vdlrecords.*.log")))
    if not logs:
        raise UserError(f"--log_dir {log_dir}: holds no vdlrecords.*.log: train with --use_vdl")
    scalars: Scalars = {}
    for log in logs:
        reader = LogReader(file_path=log)
        for tag in reader.get_tags().get("scalar", []):
            if not tag.endswith("_cost") and not tag.startswith("Seconds per step/"):
                records = reader.get_data("scalar", tag)
                scalars.setdefault(tag, {}).update((record.id, record.value) for record in records)
    if not scalars:
        raise UserError(f"--log_dir {log_dir}: nothing is logged there yet: train for more than --log_iters iterations")
    return dict(sorted(scalars.items()))


def csv_text(scalars: Scalars) -> str:
    """A line an iteration and a column a tag, empty where it was not logged."""
    iterations = sorted({iteration for values in scalars.values() for iteration in values})
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["iteration", *scalars])
    for i in iterations:
        writer.writerow([i, *(f"{values[i]:.6g}" if i in values else "" for values in scalars.values())])
    return table.getvalue()


def plot(scalars: Scalars, path: str) -> None:
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
        label = f" {name}" if name.startswith("_") else name  # matplotlib hides labels that begin with _
        axes.plot(*zip(*sorted(values.items())), label=label, marker=marker)
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
