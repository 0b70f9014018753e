"""The report of `benchmark inference`: rows, comparisons, and an image of accuracy over latency."""

from __future__ import annotations

from paddleseg_ext.benchmarks import measuring
from paddleseg_ext.benchmarks.networks import NETWORKS, PUBLISHED_SIZE

WHAT_IS_TIMED = (
    "Timed from a normalised float32 image in main memory to its labels at full size in main memory (so with the "
    "transfer to and from a GPU), after {warm_up} runs to warm up, protocol {protocol!r}; on a GPU the copy of the "
    "result synchronises. Spread: 10th to 90th percentile. Precision is float32 unless the backend names another. "
    "Multiply-adds are those of `paddle.flops`, parameters include heads that only training uses. Memory is the peak "
    "resident memory of the process. Labels equal: to eager Paddle."
)


def report_row(figure: dict) -> dict:
    """The cells of a figure in the table."""
    about = {key: figure.get(key) for key in ("network", "size", "batch", "batch norms", "backend", "threads")}
    if "failed" in figure:
        return {**about, "latency": f"failed: {figure['failed']}"}
    macs, agreement = figure.get("multiply_adds"), figure.get("label_agreement")
    return {
        **about,
        **measuring.latency(figure, "latency"),
        "images/s": f"{figure['batch'] / figure['median']:.2f}",
        "multiply-adds": macs and f"{macs / 1e9:.1f} G",
        "parameters": f"{figure['parameters'] / 1e6:.2f} M",
        "peak memory": f"{figure['peak_memory'] / 1e6:.0f} MB",
        "labels equal": None if agreement is None else f"{agreement:.3%}",
    }


def comparisons(figures: list[dict]) -> list[str]:
    """For each network: its fastest float32 backend against PyTorch's, and reduced precisions against float32."""
    measured = [figure for figure in figures if "failed" not in figure]
    groups: dict[tuple, dict[str, float]] = {}
    for figure in measured:
        key = tuple(figure[name] for name in ("network", "size", "threads", "batch norms", "batch"))
        groups.setdefault(key, {})[figure["backend"]] = figure["median"]
    lines = []
    for (network, size, threads, norms, batch), medians in groups.items():
        float32 = {backend: median for backend, median in medians.items() if ":" not in backend}
        if not float32 or any(backend.startswith("torch") for backend in medians):
            continue
        best = min(float32, key=float32.__getitem__)
        line = f"- {network}, {size}, batch {batch}, batch norms {norms}, {threads} threads: "
        line += f"fastest in float32 is {best}, {1e3 * float32[best]:.0f} ms"
        for other in measured:
            same = (other["size"], other["threads"], other["batch"]) == (size, threads, batch)
            if other["backend"].startswith("torch") and same:
                ratio = other["median"] / float32[best]
                line += f"; {ratio:.2f} times as fast as {other['network']} ({other['backend']})"
        for backend, median in medians.items():
            runtime = backend.partition(":")[0]
            if runtime != backend and runtime in float32:
                line += f"; {backend} is {float32[runtime] / median:.2f} times as fast as {runtime}"
        lines.append(line)
    return ["\n".join(lines)] if lines else []


def plot(figures: list[dict], path: str) -> None:
    """Published accuracy over measured latency in float32, at the size that the accuracy was measured at.

    A point is a network with its fastest backend; two joined points are the two figures that its authors publish.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    fastest: dict[str, dict] = {}
    for figure in figures:
        known = figure["network"] in NETWORKS and figure["size"] == PUBLISHED_SIZE
        if known and "failed" not in figure and ":" not in figure["backend"]:
            best = fastest.get(figure["network"], figure)
            fastest[figure["network"]] = min(best, figure, key=lambda f: f["median"])
    fastest = {name: figure for name, figure in fastest.items() if NETWORKS[name][1]}
    if not fastest:
        print(f"no image of published accuracy: it is known at {PUBLISHED_SIZE} only")
        return
    chart, axes = pyplot.subplots(figsize=(8, 5), constrained_layout=True)
    medians = [1e3 * figure["median"] for figure in fastest.values()]
    centre = (min(medians) * max(medians)) ** 0.5
    for name, figure in fastest.items():
        published, latency = NETWORKS[name][1], 1e3 * figure["median"]
        (line,) = axes.plot([latency] * len(published), published, "o-")
        text = f"{name}\n{' and '.join(f'{value:g}' for value in published)}, {figure['backend']}"
        middle = (latency, sum(published) / len(published))
        place = {"xytext": (8, 0), "ha": "left"} if latency <= centre else {"xytext": (-8, 0), "ha": "right"}
        style = {"textcoords": "offset points", "va": "center", "color": line.get_color(), "fontsize": 9}
        axes.annotate(text, middle, **place, **style)
    axes.set_xscale("log")
    for ticks in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        ticks("{x:g}")
    axes.margins(x=0.15, y=0.15)
    axes.set_xlabel(f"latency at {PUBLISHED_SIZE}, ms (fastest float32 backend measured)")
    axes.set_ylabel("Cityscapes val mIoU, % (as published)")
    axes.grid(alpha=0.3, which="both")
    chart.savefig(path, dpi=120)
    pyplot.close(chart)
    print(f"Written: {path}")
