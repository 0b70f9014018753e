"""The console script, doctor, and what a wheel holds."""

import os
import runpy
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

from paddleseg_ext import doctor
from paddleseg_ext.doctor import Examination

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = "import sys, paddleseg_ext_autoload; sys.argv[0] = 'paddleseg-ext'; paddleseg_ext_autoload.command_line()"


def paddleseg_ext(*words, flags=(), **environment):
    return subprocess.run(
        [sys.executable, *flags, "-c", SCRIPT, *words],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        cwd=tempfile.gettempdir(),
        timeout=120,
    )


def test_help_names_every_tool():
    told = paddleseg_ext("--help").stdout
    tools = [path.stem for path in (ROOT / "tools").glob("*.py")]
    assert len(tools) > 10
    for name in [*tools, "doctor", "configs"]:
        assert f"\n  {name} " in told


@pytest.mark.parametrize("name", ["train", "doctor"])
def test_a_tool_is_called_by_the_name_that_started_it(name):
    assert paddleseg_ext(name, "--help").stdout.startswith(f"usage: paddleseg-ext {name} ")


SUBJECTS = ["inference", "training", "mkl", "losses", "encoding", "boundary", "watching", "streaming"]


def test_help_of_every_tool_needs_no_paddle():
    code = """
import runpy, sys
for call in sys.argv[1:]:
    path, *subject = call.split("|")
    tool = runpy.run_path(path)
    sys.argv = [path, *subject, "--help"]
    try:
        tool["parse_args"]()
    except SystemExit as end:
        assert end.code == 0
    loaded = {"paddle", "paddleseg", "matplotlib", *([] if subject else ["cv2"])} & set(sys.modules)
    assert not loaded, f"{call} --help loads {loaded}"
"""
    tools = sorted(str(path) for path in (ROOT / "tools").glob("*.py"))
    calls = tools + [f"{ROOT / 'tools/benchmark.py'}|{subject}" for subject in SUBJECTS]
    done = subprocess.run([sys.executable, "-c", code, *calls], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("usage:") == len(calls) > 10 + len(SUBJECTS) and done.stderr == ""


def test_configs_are_found():
    folder = Path(paddleseg_ext("configs").stdout.strip())
    assert (folder / "_base_" / "street.yml").is_file()


def test_a_tool_gets_its_flags():
    done = paddleseg_ext("train", "--config", "gone.yml")
    assert done.returncode == 1 and "error: --config gone.yml: there is no such file" in done.stderr


def test_a_misspelt_tool():
    done = paddleseg_ext("trian")
    assert done.returncode == 2 and done.stderr == "error: there is no tool 'trian'; did you mean 'train'?\n"


@pytest.mark.parametrize("word, expected", [("True", True), ("yes", True), ("False", False), ("0", False), ("", False)])
def test_auc_roc_can_be_off(word, expected, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["val", "--auc_roc", word])
    assert runpy.run_path(str(ROOT / "tools/val.py"))["parse_args"]().auc_roc is expected


@pytest.mark.slow
def test_doctor_of_this_environment():
    done = paddleseg_ext("doctor")
    assert done.returncode == 0, done.stdout
    assert "training step          loss" in done.stdout
    assert "start-up hook          active" in done.stdout
    assert "SANet" in done.stdout and "BoundaryBCELoss" in done.stdout


def test_doctor_without_paddle():
    # -S leaves site-packages out, so that neither Paddle nor the hook is found; the path brings the hook back
    code = f"import sys; sys.path.insert(0, {str(ROOT / 'paddleseg_ext')!r}); import doctor; sys.exit(doctor.examine())"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "not installed" in done.stdout and "pip install paddlepaddle" in done.stdout


def test_doctor_where_the_package_cannot_be_imported(monkeypatch, capsys):
    for name in [name for name in sys.modules if name.partition(".")[0] == "paddleseg_ext"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "paddleseg_ext", None)  # importing it fails
    assert doctor.examine() == 1
    told = capsys.readouterr().out
    assert "import paddleseg_ext   ModuleNotFoundError" in told
    assert "! the components cannot be registered: pip install paddleseg_ext again" in told


def test_doctor_where_interpreters_start_without_the_hook(tmp_path, monkeypatch, capsys):
    """Though its module is loaded: by the console script, of ``pip install --target`` for example."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setitem(sys.modules, "paddleseg_ext_autoload", doctor)
    report = Examination()
    doctor._examine_hook(report)
    assert "start-up hook          not active" in capsys.readouterr().out and report.problems == 1


def test_problems_are_counted(capsys):
    told = Examination()
    told.problem("this is wrong", "do that")
    assert told.problems == 1
    assert "! this is wrong: do that" in capsys.readouterr().out


@pytest.mark.slow
def test_a_wheel_holds_hook_tools_and_configs(tmp_path):
    source = tmp_path / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "data", "output", "build", "*.egg-info"))
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "-w", str(tmp_path), str(source)]
    subprocess.run(command, check=True, timeout=280)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"paddleseg_ext_autoload.py", "paddleseg_ext_autoload.pth"} <= names
    for folder, pattern in (("tools", "*.py"), ("configs", "**/*.yml"), ("paddleseg_ext", "**/*.html")):
        files = [path.relative_to(ROOT).as_posix() for path in (ROOT / folder).glob(pattern)]
        inside = {file if folder == "paddleseg_ext" else f"paddleseg_ext/{file}" for file in files}
        assert inside and inside <= names
