"""The tables of the documentation are those that docs/results give."""

import json
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[1]
make_figures = runpy.run_path(str(ROOT / "docs" / "make_figures.py"))


def test_every_table_is_up_to_date():
    for page in make_figures["PAGES"]:
        text = page.read_text(encoding="utf-8")
        assert make_figures["fill_in"](text) == text, f"{page.name}: run docs/make_figures.py"


def test_means_are_of_the_seeds():
    rows = make_figures["with_means"]([["a", "1", "2.00"], ["a", "2", "3.50"]], "a")
    assert rows[-1] == ["a, mean", "", "2.75"]
    assert len(make_figures["with_means"]([["a", "1", "2.00"]], "a")) == 1


def test_every_result_says_how_it_was_trained():
    for path in (ROOT / "docs" / "results").glob("*_seed?.json"):
        result = json.loads(path.read_text())
        assert (ROOT / result["config"]).is_file()
        assert {"command", "seed", "iterations", "machine", "stack", "val", "test"} <= set(result)
        assert path.with_suffix(".csv").is_file()
