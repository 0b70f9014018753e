"""The tables of the documentation, each made of the files in docs/results; make_figures.py puts them into the pages.

Rows of what was not trained or measured are left out.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence

from shared import RESULTS

from paddleseg_ext.benchmarks.context import FORMATS

UP = "../.."  # from configs/*/README.md
LINKS = f"{UP}/docs/results"
SMALL_CLASSES = ("Pole", "SignSymbol", "Pedestrian", "Bicyclist")
Row = list  # of label, seed and figures


def results(pattern: str) -> dict[str, dict]:
    """{name: result} of the files in docs/results that `pattern` matches."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(RESULTS.glob(f"{pattern}.json"))}


def result(name: str) -> dict:
    """What docs/results/`name`.json holds; empty if there is none."""
    return results(name).get(name, {})


def markdown(header: Sequence[str], rows: Sequence[Sequence]) -> str:
    if not rows:
        return "Not measured yet.\n"
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def mean_and_spread(values: Sequence[float | None]) -> str:
    """The mean and, of several values, half the distance of the highest and the lowest; None is left out."""
    values = [value for value in values if value is not None]
    if not values:
        return ""
    spread = f" ± {(max(values) - min(values)) / 2:.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{spread}"


def camvid_rows(label: str, pattern: str, figures: dict[str, Callable[[dict], float | None]]) -> list[Row]:
    """A row a seed with the `figures`, and one of their means if there are several."""
    runs = results(pattern)
    rows = []
    for name, run in runs.items():
        links = f"{run['seed']} ([how]({LINKS}/{name}.json), [curve]({LINKS}/{name}.csv))"
        linked = f"[{label}]({UP}/{run['config']})"
        cells = [mean_and_spread([figure(run)]) for figure in figures.values()]
        rows.append([linked, links, run["iterations"], *cells])
    if len(rows) > 1:
        means = [mean_and_spread([figure(run) for run in runs.values()]) for figure in figures.values()]
        rows.append([f"{label}, mean", "", "", *means])
    return rows


ENCNET_RUNS = {  # label: pattern of results
    "FCN of PaddleSeg": "fcn_seed?",
    "EncNet without the SE loss": "encnet_no_se_seed?",
    "EncNet": "encnet_seed?",
}


def encnet_camvid() -> str:
    figures = {
        "val mIoU": lambda run: run["val"]["mIoU"],
        "test mIoU": lambda run: run["test"]["mIoU"],
        **{f"val {name}": lambda run, name=name: run["val"]["IoU"][name] for name in SMALL_CLASSES},
        # on one kind of processor, since processors differ by more than these networks do
        "seconds a step, AMD EPYC": lambda run: run["seconds_per_step"] if "AMD EPYC" in run["machine"] else None,
    }
    rows = [row for label, pattern in ENCNET_RUNS.items() for row in camvid_rows(label, pattern, figures)]
    return markdown(["", "seed", "iterations", *figures], rows)


def encnet_presence() -> str:
    """Of the test images: in the validation images each class is in all or in none."""
    keys = ("average_precision", "prior")
    rows = [
        [run["seed"], *(f"{run['test']['presence'][key]:.2f}" for key in keys)]
        for run in results("encnet_seed?").values()
    ]
    return markdown(["seed", *(f"test {key.replace('_', ' ')}" for key in keys)], rows)


def encnet_vs_stock() -> str:
    shown = (0, 1, 2, 4, 9, 19)
    rows = [
        [
            name,
            f"{network['float32']['seconds_per_step']:.2f} s",
            f"{network['float32']['memory'] / 1e6:.0f} MB",
            *(f"{network['float32']['losses'][i]:.4f}" for i in shown),
        ]
        for name, network in result("encnet_vs_stock")["networks"].items()
    ]
    return markdown(["", "a step", "memory", *(f"loss {i + 1}" for i in shown)], rows)


def encoding() -> str:
    """What benchmarks/encoding.py printed into its JSON."""
    rows = [
        [figure["what"], figure["whose"], f"{figure['seconds']:.3f} s", f"{figure['extra_memory'] / 1e6:.0f} MB"]
        for figure in result("encoding")["figures"]
    ]
    return markdown(["what", "whose", "time", "memory"], rows)


def sanet_camvid() -> str:
    figures = {
        "val mIoU": lambda run: run["val"]["mIoU"],
        "val accuracy": lambda run: run["val"]["accuracy"],
        "test mIoU": lambda run: run["test"]["mIoU"],
        "test accuracy": lambda run: run["test"]["accuracy"],
        "val boundary F-score, 2 px": lambda run: run["val"]["boundary_f_score"]["2"],
    }
    runs = {
        "our recipe": "sanet_s_clip_seed?",
        "our recipe, corners aligned": "sanet_s_clip_aligned_seed?",
        "the same without clipping": "boundary_dou_seed?",
        "our recipe, longer": "sanet_s_long_seed?",
        "the authors' recipe": "sanet_s_seed?",
    }
    rows = [row for label, pattern in runs.items() for row in camvid_rows(label, pattern, figures)]
    return markdown(["", "seed", "iterations", *figures], rows)


AUTHORS_RUNS = {  # what is not as the authors have it, and the framework: results of a seed each, or one of two seeds
    ("nothing", "Paddle"): "sanet_s_seed?",
    ("nothing, black padding", "PyTorch, earlier"): "torch_earlier_aligned",
    ("corners", "Paddle"): "sanet_s_all_pixels_seed?",
    ("corners, `aux`", "Paddle"): "sanet_s_not_aligned_seed?",
    ("corners, `aux`", "PyTorch"): "torch_not_aligned_seed?",
    ("corners, `aux`", "PyTorch, earlier"): "torch_earlier_not_aligned",
    ("corners, PaddleSeg's OHEM and `BCELoss`", "Paddle, Intel"): "sanet_s_stock_losses_seed?",
    ("corners, PaddleSeg's OHEM and `BCELoss`", "Paddle, AMD"): "sanet_s_stock_losses_amd",
    ("not known", "PyTorch, the authors' code"): "sanet_s_official",
}


def sanet_authors() -> str:
    """The authors' recipe: a row for each way to train it, with the scores of all seeds."""
    rows = []
    for (changed, framework), pattern in AUTHORS_RUNS.items():
        runs = results(pattern)
        if not runs:
            continue
        links = " ".join(f"[{run.get('seed', '1, 2')}]({LINKS}/{name}.json)" for name, run in runs.items())
        row = [changed, framework, links]
        for split in ("val", "test"):
            scores = [x for run in runs.values() for x in run.get(f"{split}_mIoU") or [run[split]["mIoU"]]]
            row += [", ".join(f"{score:.1f}" for score in scores), mean_and_error(scores)]
        rows.append(row)
    header = ["not as listed below", "trained in", "seeds", "val mIoU", "mean", "test mIoU", "mean"]
    return markdown(header, rows)


def mean_and_error(scores: Sequence[float]) -> str:
    """The mean and its standard error."""
    error = f" ± {statistics.stdev(scores) / len(scores) ** 0.5:.1f}" if len(scores) > 1 else ""
    return f"{statistics.mean(scores):.1f}{error}"


def sanet_tried() -> str:
    """What did not help our recipe, by the validation mIoU at these iterations."""
    iterations = ("500", "1000")
    rows = [
        [run["change"], *(f"{run['val_mIoU'][i]:.1f}" if i in run["val_mIoU"] else "" for i in iterations)]
        for run in result("tried")["runs"]
    ]
    return markdown(["change", *(f"val mIoU at {i}" for i in iterations)], rows)


def gradients() -> str:
    rows = [
        [run["config"], run["seed"], f"{max(run['norms']):.0f}", f"{statistics.median(run['norms'][25:]):.1f}"]
        for run in result("gradients")["runs"]
    ]
    return markdown(["config", "seed", "largest of 50 steps", "median of the last 25"], rows)


def curves(name: str, text: str) -> str:
    return f"\n![{text}]({LINKS}/{name}.png)\n\n" if (RESULTS / f"{name}.png").is_file() else ""


ABLATION = {  # pattern of results: label
    "boundary_base_seed?": "SANet-S, cross entropy",
    "boundary_bce_seed?": "+ boundary head with `BoundaryBCELoss`",
    "sanet_s_adamw_seed?": "+ the same and `BoundaryAwareOhemCrossEntropyLoss`",
    "boundary_active_seed?": "+ `ActiveBoundaryLoss`",
    "boundary_dou_seed?": "+ `BoundaryDoULoss`",
    "boundary_pp_liteseg_base_seed?": "PP-LiteSeg (STDC1), cross entropy",
    "boundary_pp_liteseg_dou_seed?": "+ `BoundaryDoULoss`",
}


def boundary_ablation(split: str) -> str:
    rows = []
    for pattern, label in ABLATION.items():
        runs = [run[split] for run in results(pattern).values()]
        if runs:
            figures = [
                [run["mIoU"] for run in runs],
                *([run[key][width] for run in runs] for key in ("boundary_iou", "boundary_f_score") for width in "124"),
            ]
            rows.append([label, len(runs), *map(mean_and_spread, figures)])
    widths = [f"{name}, {width} px" for name in ("boundary IoU", "F-score") for width in "124"]
    return markdown(["", "seeds", "mIoU", *widths], rows)


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


def speed() -> str:
    rows = [
        [
            figure["network"],
            figure["backend"],
            f"{1e3 * figure['median']:.1f} ms",
            f"{1e3 * figure['low']:.1f}-{1e3 * figure['high']:.1f}",
            f"{1 / figure['median']:.2f}",
            f"{figure['multiply_adds'] / 1e9:.1f} G" if "multiply_adds" in figure else "",
            f"{figure['peak_memory'] / 1e6:.0f} MB",
            f"{figure['label_agreement']:.3%}" if "label_agreement" in figure else "",
        ]
        for figure in result("speed")["inference"]
    ]
    columns = ["latency", "spread", "images/s", "multiply-adds", "peak memory", "labels equal"]
    return markdown(["network", "backend", *columns], rows)


def speed_summary(header: Sequence[str], names: dict[str, str]) -> str:
    """Each network by its fastest float32 backend, and with int8; `names` translates networks and backends."""
    networks: dict[str, dict[str, float]] = {}
    for figure in result("speed")["inference"]:
        if figure["backend"] != "torch, as returned":
            networks.setdefault(figure["network"], {})[figure["backend"]] = 1e3 * figure["median"]
    rows = []
    for network, medians in networks.items():
        backend = min((name for name in medians if ":" not in name), key=medians.__getitem__)
        int8 = medians.get("onnxruntime:int8")
        named = [names.get(name, name) for name in (network, backend)]
        rows.append([*named, f"{medians[backend]:.0f} ms", f"{int8:.0f} ms" if int8 else ""])
    return markdown(header, rows)


ENGLISH = {
    "SANet-S": "SANet-S, batch norms folded",
    "onnxruntime": "ONNX Runtime",
    "inference": "Paddle Inference",
    "torch, labels": "PyTorch, eager",
}
CHINESE = {
    "SANet-S": "SANet-S，已融合 BN",
    "SANet-S in PyTorch": "PyTorch 版 SANet-S",
    "onnxruntime": "ONNX Runtime",
    "inference": "Paddle Inference",
    "torch, labels": "PyTorch，动态图",
}


def speed_conditions() -> str:
    where = dict(result("speed")["conditions"])
    machine = f"{where.pop('processor')}, {where.pop('cores')} cores, {where.pop('threads')} threads"
    where.pop("device")
    return f"Conditions: {machine}; {', '.join(f'{key} {value}' for key, value in where.items())}.\n"


def speed_training() -> str:
    training = result("speed")["training"]
    parts = [name for name, part in training.items() if isinstance(part, dict)]
    cells = [f"{1e3 * training[p]['median']:.0f} ms ({training[p]['median'] / training['step']:.1%})" for p in parts]
    return markdown(["step", *parts], [[f"{1e3 * training['step']:.0f} ms", *cells]])


def speed_frameworks() -> str:
    rows = [
        [name, f"{1e3 * cost['median']:.0f} ms", f"{cost['peak_memory'] / 1e6:.0f} MB"]
        for name, cost in result("speed")["frameworks"].items()
    ]
    return markdown(["", "a step", "peak memory"], rows)


def speed_mkl() -> str:
    """What `benchmark mkl` found on each stack."""
    rows = []
    for report in results("mkl_stack_?").values():
        own_choice = report["figures"][0]["seconds"]
        for figure in report["figures"]:
            seconds = figure["seconds"]
            row = [report["conditions"]["paddlepaddle"], figure["kernels"], f"{1e3 * seconds:.0f} ms"]
            rows.append([*row, f"{own_choice / seconds:.2f}"])
    return markdown(["Paddle", "kernels", "a step", "times as fast"], rows)


def speed_streaming() -> str:
    rates = [result("speed")["streaming"][key] for key in ("streaming", "bare")]
    row = [*(f"{rate:.1f}" for rate in rates), f"{rates[0] / rates[1]:.2f}"]
    return markdown(["a folder, images/s", "the network alone", "share"], [row])


def deployment() -> str:
    """What folding, export and int8 change in a trained SANet-S."""
    found = result("sanet_s")
    if not found:
        return markdown([], [])
    int8 = found["int8"]
    rows = [
        ["batch norms folded", f"logits differ by {found['folding']['relative_difference']:.1e} of the largest", ""],
        *([name, f"{one['labels_equal']:.3f} %", ""] for name, one in found["exported"].items()),
        [
            "onnxruntime, int8",
            f"{int8['labels_equal']:.2f} %",
            f"{int8['mIoU_before']:.2f} to {int8['mIoU_after']:.2f}",
        ],
    ]
    return markdown(["what", "labels equal to the trained network's", "val mIoU"], rows)


def trained() -> str:
    """The scores of the best model of a trained SANet-S, boundaries by the pixels that they may be off."""
    found = result("sanet_s")
    scores = {name: found["boundary"][key] for name, key in (("IoU", "boundary_iou"), ("F-score", "boundary_f_score"))}
    header = [f"boundary {name}, {width} px" for name in scores for width in scores[name]]
    row = [f"{score:.2f}" for by_width in scores.values() for score in by_width.values()]
    scores = [f"{found[name]:.2f}" for name in ("mIoU", "accuracy")]
    return markdown(["iteration", "mIoU", "accuracy", *header], [[found["iteration"], *scores, *row]])


def receptive_field() -> str:
    """Of the layers of a trained SANet-S that see a bounded part of the image, and of the others."""
    rows = []
    for layer, field in result("sanet_s")["receptive_field"].items():
        sides = field["effective_sides"]
        size = "everything" if field["size"] is None else f"{field['size']} px"
        rows.append([layer, size, *(f"{sides[share]} px" for share in ("0.5", "0.95"))])
    return markdown(["layer", "can see", "half of what it does see", "95 % of it"], rows)


def context_table() -> str:
    """What tools/context_table.py wrote into its JSON, but for the mIoU, which it has of trainings too short."""
    columns = {f"{part}: {name}": form for part in ("module", "network") for name, form in FORMATS.items()}
    rows = [
        [row["context"], *(format(row[column], form) for column, form in columns.items())]
        for row in result("context_table")["modules"]
    ]
    return markdown(["context", *columns], rows)


def rare_class() -> str:
    runs = result("rare_class")["runs"]
    scores = [name for name in runs[0] if name not in ("weights", "seed")]
    rows = [[run["weights"], run["seed"], *(f"{100 * run[name]:.1f}" for name in scores)] for run in runs]
    return markdown(["weights", "seed", *scores], rows)


TABLES: dict[str, Callable[[], str]] = {
    "encnet_camvid": encnet_camvid,
    "encnet_curves": lambda: curves("encnet_camvid", "losses and validation mIoU of FCN and EncNet"),
    "encnet_presence": encnet_presence,
    "encnet_vs_stock": encnet_vs_stock,
    "encoding": encoding,
    "sanet_camvid": sanet_camvid,
    "sanet_authors": sanet_authors,
    "sanet_tried": sanet_tried,
    "gradients": gradients,
    "sanet_curves": lambda: curves("sanet_camvid", "losses and validation mIoU of the recipes"),
    "sanet_long_curves": lambda: curves("sanet_camvid_long", "loss and validation mIoU of the long run"),
    "boundary_ablation_val": lambda: boundary_ablation("val"),
    "boundary_ablation_test": lambda: boundary_ablation("test"),
    "boundary_cost": boundary_cost,
    "rare_class": rare_class,
    "context_table": context_table,
    "speed": speed,
    "speed_summary": lambda: speed_summary(["network", "its fastest backend", "latency", "with int8"], ENGLISH),
    "speed_summary_cn": lambda: speed_summary(["网络", "最快的后端", "延迟", "int8"], CHINESE),
    "speed_conditions": speed_conditions,
    "speed_training": speed_training,
    "speed_frameworks": speed_frameworks,
    "speed_mkl": speed_mkl,
    "speed_streaming": speed_streaming,
    "deployment": deployment,
    "trained": trained,
    "receptive_field": receptive_field,
}
