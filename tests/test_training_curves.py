"""tools/training_curves.py: what a run logged, as a file and as curves."""

import csv

import pytest
from picture_support import run_tool
from PIL import Image
from visualdl import LogWriter

from paddleseg_ext.command import UserError
from paddleseg_ext.training.curves import plot


def write_log(folder, name, losses, scores):
    with LogWriter(str(folder), file_name=f"vdlrecords.{name}.log") as writer:
        for iteration, loss in losses.items():
            writer.add_scalar("Train/loss", loss, iteration)
            writer.add_scalar("Train/lr", 0.01, iteration)
            writer.add_scalar("Train/batch_cost", 1.0, iteration)
            writer.add_scalar("Seconds per step/all", 1.0, iteration)
        for iteration, score in scores.items():
            writer.add_scalar("IoU/road, paved", score / 2, iteration)
            writer.add_scalar("Evaluate/mIoU", score, iteration)


def test_the_resumed_run_counts(tmp_path):
    write_log(tmp_path / "log[1]", 1, {10: 3.0, 20: 2.0, 30: 9.0}, {20: 0.25})
    write_log(tmp_path / "log[1]", 2, {30: 1.0}, {30: 0.5})
    run_tool("training_curves", log_dir=tmp_path / "log[1]", save_dir=tmp_path / "out")
    with open(tmp_path / "out/training.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["iteration"], row["Train/loss"], row["Evaluate/mIoU"]) for row in rows] == [
        ("10", "3", ""),
        ("20", "2", "0.25"),
        ("30", "1", "0.5"),
    ]
    assert [row["IoU/road, paved"] for row in rows] == ["", "0.125", "0.25"]
    assert "Seconds per step/all" not in rows[0]
    assert "Train/batch_cost" not in rows[0] and "Train/lr" in rows[0]
    with Image.open(tmp_path / "out/training.png") as picture:
        assert picture.width > 500


def test_a_class_that_begins_with_an_underscore_is_in_the_legend(tmp_path, monkeypatch):
    charts = []
    monkeypatch.setattr("matplotlib.pyplot.close", charts.append)
    plot({"IoU/_background_": {1: 0.5}}, str(tmp_path / "curves.png"))
    assert [text.get_text() for text in charts[0].axes[2].get_legend().get_texts()] == [" _background_"]


def test_no_log(tmp_path):
    with pytest.raises(UserError, match="holds no vdlrecords"):
        run_tool("training_curves", log_dir=tmp_path, save_dir=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_log_of_times_alone(tmp_path):
    with LogWriter(str(tmp_path / "log"), file_name="vdlrecords.1.log") as writer:
        writer.add_scalar("Train/batch_cost", 1.0, 1)
    with pytest.raises(UserError, match="nothing is logged there yet"):
        run_tool("training_curves", log_dir=tmp_path / "log", save_dir=tmp_path / "out")
    assert not (tmp_path / "out").exists()
