"""The figures of the documentation are those of docs/results, or have their source in docs/quoted.json."""

import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs" / "scripts"))
import make_figures  # noqa: E402
import tables  # noqa: E402

QUOTED = json.loads((ROOT / "docs" / "quoted.json").read_text())
NUMBER = r"\d[\d,]*(?:\.\d+)?"
UNIT = r"%|ms\b|µs|s\b|GB\b|MB\b|seconds|minutes|hours|times as|images a second|points|秒|分钟|毫秒|倍"
MEASURED = re.compile(
    rf"(?<![\w.,]){NUMBER}\s?(?:{UNIT})"  # with a unit
    rf"|\b(?:mIoU|IoU|accuracy|precision)\b[^\d|.;:`]{{1,20}}{NUMBER}(?!\w)"  # after the name of a score
)
CELL = re.compile(rf"\**{NUMBER}\**(?: ?/ ?{NUMBER})? ?(?:{UNIT})?")  # all of a cell of a table


def measured_figures(text: str) -> set[str]:
    """What looks like a result in a page, outside of what make_figures.py writes, of code and of addresses."""
    text = make_figures.FIGURE.sub("", make_figures.TABLE.sub("", text))
    text = re.sub(r"^( *)```.*?^\1```|`[^`]+`|\]\([^)]+\)|<https?:[^>]+>", " ", text, flags=re.M | re.S)
    found = {" ".join(match[0].split()) for match in MEASURED.finditer(text)}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]] if line.startswith("|") else []
        found |= {cell for cell in cells if CELL.fullmatch(cell) and re.search(r"\.|[^\d*]", cell)}
    return found


@pytest.mark.parametrize("page", make_figures.PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_generated_figures_are_up_to_date(page):
    text = page.read_text(encoding="utf-8")
    assert make_figures.fill_in(text, page.parent) == text, "run docs/scripts/make_figures.py"


@pytest.mark.parametrize("page", make_figures.PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_other_figures_have_a_source(page):
    name = page.relative_to(ROOT).as_posix()
    quoted = {figure for entry in QUOTED if entry["page"] == name for figure in entry["figures"]}
    found = set() if name == "CHANGELOG.md" else measured_figures(page.read_text(encoding="utf-8"))
    assert found - quoted == set(), "put them into a block of make_figures.py, or into docs/quoted.json with a source"
    assert quoted - found == set(), "docs/quoted.json: the page has them no more"


def test_every_quoted_page_is_there():
    assert {entry["page"] for entry in QUOTED} <= {path.relative_to(ROOT).as_posix() for path in make_figures.PAGES}
    assert all(entry["source"] for entry in QUOTED)


def test_results_are_told_from_other_numbers():
    text = """It takes 377 ms (2.6 times as fast) and 0.87 GB of `12 MB`, at 1024x2048 with Paddle 3.3; mIoU of 57.1 %.
<!-- figure: a.b -->99 ms<!-- end -->

| network | coefficient | mIoU |
| 2 | **55.14** | 78.6 / 79.9 |
"""
    expected = {"377 ms", "2.6 times as", "0.87 GB", "57.1 %", "mIoU of 57.1", "**55.14**", "78.6 / 79.9"}
    assert measured_figures(text) == expected - {"57.1 %"}


def test_a_block_does_not_begin_a_line():
    """Markdown would take the rest of the line for HTML."""
    for page in make_figures.PAGES:
        assert not re.search(r"^ *<!-- figure", page.read_text(encoding="utf-8"), re.M), page


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A folder for results in the place of docs/results; call it with a name and what the file holds."""
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    monkeypatch.setattr(make_figures, "RESULTS", tmp_path)

    def write(name, **result):
        (tmp_path / f"{name}.json").write_text(json.dumps(result))
        return tmp_path

    return write


def camvid_run(seed, miou, **more):
    scores = {
        "mIoU": miou,
        "accuracy": 80,
        "boundary_f_score": {"2": 30},
        "IoU": dict.fromkeys(tables.SMALL_CLASSES, 5),
    }
    run = {"config": "configs/a/b.yml", "seed": seed, "iterations": 9, "machine": "AMD EPYC", "seconds_per_step": 1.5}
    return run | {"val": scores, "test": {**scores, "mIoU": miou - 10}, **more}


def test_figures_are_filled_in(results):
    results("a", b={"c": 2.345})
    text = "It takes <!-- figure: a.b.c .1f -->9<!-- end --> s, <!-- figure: a.b.c --><!-- end -->."
    filled = "It takes <!-- figure: a.b.c .1f -->2.3<!-- end --> s, <!-- figure: a.b.c -->2.345<!-- end -->."
    assert make_figures.fill_in(text, make_figures.DOCS) == filled


def test_links_to_what_lies_beside_a_page_are_short(results):
    results("sanet_s_seed1", **camvid_run(1, 38.0))
    text = "<!-- table: sanet_camvid -->\n<!-- end -->"
    assert "](b.yml)" in make_figures.fill_in(text, ROOT / "configs" / "a")


def test_seeds_have_a_mean_and_a_spread(results):
    results("fcn_seed1", **camvid_run(1, 40.0))
    results("fcn_seed2", **camvid_run(2, 41.0, machine="another", seconds_per_step=3))
    results("encnet_no_se_seed1", **camvid_run(1, 45.0))
    table = tables.encnet_camvid()
    row = next(line for line in table.splitlines() if "mean" in line)
    assert row.startswith("| FCN of PaddleSeg, mean |  |  | 40.50 ± 0.50 | 30.50 ± 0.50 | 5.00 ± 0.00 |")
    assert row.endswith("| 1.50 |"), "the time of AMD processors alone"
    assert "| [FCN of PaddleSeg](../../configs/a/b.yml) | 1 ([how](" in table
    assert (
        table.count("EncNet") == 1 and "without the SE loss](../../configs/a/b.yml) | 1 (" in table
    )  # one seed, no mean


def test_presence_is_that_of_the_test_pictures(results):
    run = camvid_run(1, 45.0)
    run["test"]["presence"] = {"average_precision": 86.6, "prior": 82.081}
    results("encnet_seed1", **run)
    assert tables.encnet_presence().splitlines()[-1] == "| 1 | 86.60 | 82.08 |"


def test_losses_are_compared_over_their_seeds(results):
    widths = {"1": 10, "2": 20, "4": 30}
    for seed, miou in ((1, 50.0), (2, 52.0)):
        run = camvid_run(seed, miou)
        run["val"] |= {"boundary_iou": widths, "boundary_f_score": {**widths, "4": 30 + seed}}
        results(f"boundary_dou_seed{seed}", **run)
    assert tables.boundary_ablation("val").splitlines()[2:] == [
        "| + `BoundaryDoULoss` | 2 | 51.00 ± 1.00 | 10.00 ± 0.00 | 20.00 ± 0.00 | 30.00 ± 0.00 "
        "| 10.00 ± 0.00 | 20.00 ± 0.00 | 31.50 ± 0.50 |"
    ]


def test_sanet_stands_beside_the_reference(results):
    results("sanet_s_seed1", **camvid_run(1, 38.0))
    assert tables.sanet_camvid().count("[the authors' recipe](../../configs/a/b.yml)") == 1
    results("torch_not_aligned_seed1", **camvid_run(1, 40.0))
    results("torch_not_aligned_seed3", **camvid_run(3, 41.0))
    results("sanet_s_official", val_mIoU=[38.7, 36.18], test_mIoU=[31.88, 29.96])
    links = "[1](../../docs/results/torch_not_aligned_seed1.json) [3](../../docs/results/torch_not_aligned_seed3.json)"
    assert tables.sanet_authors().splitlines()[2:] == [
        "| nothing | Paddle | [1](../../docs/results/sanet_s_seed1.json) | 38.0 | 38.0 | 28.0 | 28.0 |",
        f"| corners, `aux` | PyTorch | {links} | 40.0, 41.0 | 40.5 ± 0.5 | 30.0, 31.0 | 30.5 ± 0.5 |",
        "| not known | PyTorch, the authors' code | [1, 2](../../docs/results/sanet_s_official.json) | 38.7, 36.2 "
        "| 37.4 ± 1.3 | 31.9, 30.0 | 30.9 ± 1.0 |",
    ]


def test_why_gradients_are_clipped_and_what_did_not_help(results):
    results("gradients", runs=[{"config": "a", "seed": 1, "norms": [3, 89.6, *23 * [9], *25 * [1.213]]}])
    assert tables.gradients().splitlines()[2:] == ["| a | 1 | 90 | 1.2 |"]
    results("tried", runs=[{"change": "learning rate 1", "val_mIoU": {"1000": 40.61}}])
    assert tables.sanet_tried().splitlines()[2:] == ["| learning rate 1 |  | 40.6 |"]


def test_tables_of_the_speed(results):
    timing = {"low": 0.9, "high": 1.1, "peak_memory": 5e8}
    latencies = {("SANet-S", "inference"): 3, ("SANet-S", "onnxruntime"): 1, ("SANet-S", "onnxruntime:int8"): 0.5}
    latencies |= {("SANet-S in PyTorch", "torch, labels"): 4, ("SANet-S in PyTorch", "torch, as returned"): 2}
    results(
        "speed",
        conditions={"processor": "CPU", "cores": "2", "threads": "1", "device": "cpu", "paddlepaddle": "3.3.1"},
        inference=[{"network": n, "backend": b, "median": s, **timing} for (n, b), s in latencies.items()],
        training={"config": "a.yml", "step": 2.0, "forward": {"median": 0.5}, "losses": {"median": 0.2}},
        frameworks={"Paddle": {"median": 2, **timing}, "PyTorch": {"median": 1, **timing}},
        streaming={"streaming": 9.0, "bare": 10.0},
    )
    figures = [{"kernels": "own", "seconds": 4}, {"kernels": "AVX2", "seconds": 2}]
    results("mkl_stack_a", conditions={"paddlepaddle": "3.3.1"}, figures=figures)
    expected = {
        "speed": "| SANet-S | onnxruntime | 1000.0 ms | 900.0-1100.0 | 1.00 |  | 500 MB |  |",
        "speed_summary": "| SANet-S, batch norms folded | ONNX Runtime | 1000 ms | 500 ms |",
        "speed_summary_cn": "| PyTorch 版 SANet-S | PyTorch，动态图 | 4000 ms |  |",
        "speed_conditions": "Conditions: CPU, 2 cores, 1 threads; paddlepaddle 3.3.1.",
        "speed_training": "| 2000 ms | 500 ms (25.0%) | 200 ms (10.0%) |",
        "speed_frameworks": "| PyTorch | 1000 ms | 500 MB |",
        "speed_mkl": "| 3.3.1 | AVX2 | 2000 ms | 2.00 |",
        "speed_streaming": "| 9.0 | 10.0 | 0.90 |",
    }
    for name, line in expected.items():
        assert line in tables.TABLES[name]().splitlines(), name


def test_tables_of_trained_weights(results):
    one = {"labels_equal": 100, "passed": True}
    field = {"stride": 8, "effective_sides": {"0.5": 45, "0.95": 141}}
    results(
        "sanet_s",
        folding={"relative_difference": 4.6e-7},
        exported={"inference": one, "onnxruntime": one},
        int8={"labels_equal": 97.123, "mIoU_before": 55.0, "mIoU_after": 54.5},
        receptive_field={"a": {"size": 295, **field}, "b": {"size": None, **field}},
        iteration=1800,
        mIoU=55.1,
        boundary={"boundary_iou": {"1": 10.5, "2": 20}, "boundary_f_score": {"1": 30, "2": 40}},
        accuracy=89.0,
    )
    assert tables.trained().splitlines()[-1] == "| 1800 | 55.10 | 89.00 | 10.50 | 20.00 | 30.00 | 40.00 |"
    lines = tables.deployment().splitlines()
    assert "| onnxruntime | 100.000 % |  |" in lines and "| onnxruntime, int8 | 97.12 % | 55.00 to 54.50 |" in lines
    assert "| b | everything | 45 px | 141 px |" in tables.receptive_field().splitlines()


def test_what_was_not_measured_is_said(results):
    assert tables.encnet_camvid() == tables.deployment() == "Not measured yet.\n"
    assert tables.curves("sanet_camvid", "x") == ""


def test_curves_are_drawn(results):
    folder = results("x_seed1")
    (folder / "x_seed1.csv").write_text("iteration,Evaluate/mIoU,Train/loss\n20,,5.0\n40,0.3,4.0\n60,0.4,3.0\n")
    make_figures.draw_curves("x", {"a": "x_seed?"})
    assert (folder / "x.png").stat().st_size > 1000
    make_figures.draw_curves("y", {"a": "y_seed?"})
    assert not (folder / "y.png").exists()


def test_every_result_says_how_it_was_trained():
    for path in (ROOT / "docs" / "results").glob("*_seed?.json"):
        result = json.loads(path.read_text())
        assert (ROOT / result["config"]).is_file()
        assert {"command", "seed", "iterations", "machine", "stack", "val", "test"} <= set(result)
        assert path.with_suffix(".csv").is_file()
