"""The figures of the documentation are those of docs/results, or have their source in docs/quoted.json."""

import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs"))
import make_figures  # noqa: E402
import tables  # noqa: E402

QUOTED = json.loads((ROOT / "docs" / "quoted.json").read_text())
NUMBER = r"\d[\d,]*(?:\.\d+)?"
UNIT = r"%|ms\b|µs|s\b|GB\b|MB\b|seconds|minutes|hours|times as|pictures a second|points|秒|分钟|毫秒|倍"
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
    assert make_figures.fill_in(text) == text, "run docs/make_figures.py"


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
    return {"config": "configs/a/b.yml", "seed": seed, "iterations": 9, "seconds_per_step": 1.5, "val": scores} | {
        "test": {**scores, "mIoU": miou - 10},
        **more,
    }


def test_figures_are_filled_in(results):
    results("a", b={"c": 2.345})
    text = "It takes <!-- figure: a.b.c .1f -->9<!-- end --> s, <!-- figure: a.b.c --><!-- end -->."
    filled = "It takes <!-- figure: a.b.c .1f -->2.3<!-- end --> s, <!-- figure: a.b.c -->2.345<!-- end -->."
    assert make_figures.fill_in(text) == filled


def test_seeds_have_a_mean_and_a_spread(results):
    results("fcn_seed1", **camvid_run(1, 40.0))
    results("fcn_seed2", **camvid_run(2, 41.0))
    results("encnet_no_se_seed1", **camvid_run(1, 45.0))
    table = tables.encnet_camvid()
    assert "| FCN of PaddleSeg, mean |  |  | 40.50 ± 0.50 | 30.50 ± 0.50 | 5.00 ± 0.00 |" in table
    assert "| [FCN of PaddleSeg](b.yml) | 1 ([how](" in table
    assert table.count("EncNet") == 1 and "without the SE loss](b.yml) | 1 (" in table  # one seed, no mean


def test_sanet_stands_beside_the_reference(results):
    results("sanet_s_seed1", **camvid_run(1, 38.0))
    results("sanet_s_official", iterations=9, val_mIoU=[38.7, 36.18], test_mIoU=[31.88, 29.96])
    earlier = {"seed": 1, "val": {"mIoU": 30, "accuracy": 70}, "test": {"mIoU": 20, "accuracy": 60}}
    results("earlier", what="", sanet_s_seed1=earlier, sanet_s_adamw_seed1=earlier)
    table = tables.sanet_camvid()
    assert "mean |  |  | 37.44 ± 1.26 |  | 30.92 ± 0.96 |  |  |" in table
    # an earlier result is left out as soon as there is a new one
    assert table.count("not aligned") == 1 and "our recipe, corners not aligned | 1 |" in table


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
