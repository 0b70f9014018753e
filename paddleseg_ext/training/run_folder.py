"""The folder of a training run: what was run, on what, and which model is the best.

Beside PaddleSeg's checkpoints (iter_N, best_model) and VisualDL's records it holds config.yml, the whole YAML;
run.yml, an entry each time that it was started; log.txt; and classes.txt.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from glob import escape, glob
from pathlib import Path

import paddle
import yaml
from paddleseg.cvlibs import Config
from paddleseg.utils import logger

from paddleseg_ext.checkpoints import RUN_CONFIG, WEIGHTS, numbered_checkpoints
from paddleseg_ext.command import UserError, one_line
from paddleseg_ext.datasets.description import CLASSES_FILE, classes_text
from paddleseg_ext.files import read_yaml, write_whole
from paddleseg_ext.training.watching import classes_of
from paddleseg_ext.versions import installed_versions

RUN, LOG = "run.yml", "log.txt"


def refuse_another_run(save_dir: str, resume_model: str | None, overwrite: bool) -> None:
    """Raises `UserError` if `save_dir` holds the models of another run than the one that is resumed."""
    models = _models(save_dir)
    inside = resume_model is not None and Path(resume_model).resolve().is_relative_to(Path(save_dir).resolve())
    if models and not overwrite and not inside:
        raise UserError(
            f"--save_dir {save_dir}: holds another run ({', '.join(map(os.path.basename, models[:3]))}): go on with it "
            f"(--resume_model {save_dir}), delete it (--overwrite) or give another folder"
        )
    if overwrite and inside:
        raise UserError("--overwrite would delete what --resume_model goes on from: give one of the two")


def refuse_folder_of_data(save_dir: str, config: Config) -> None:
    """Raises `UserError` if `save_dir` is the folder of a data set, whose classes.txt the run would replace."""
    for key in ("train_dataset", "val_dataset"):
        root = str((config.dic.get(key) or {}).get("dataset_root", ""))
        if os.path.isdir(save_dir) and os.path.isdir(root) and os.path.samefile(save_dir, root):
            raise UserError(f"--save_dir {save_dir}: is the dataset_root of {key}: give a folder of its own")


def start(save_dir: str, config: Config, datasets: dict, resume_model: str | None, overwrite: bool) -> None:
    """Write what is run into the folder, after an earlier run in it has been deleted if `overwrite` says so.

    Args:
        datasets: the built data sets by their key in the YAML, e.g. ``{"train_dataset": ...}``.
    """
    if overwrite:
        _delete(save_dir)
    os.makedirs(save_dir, exist_ok=True)
    settings = _plain(config.dic)
    path = os.path.join(save_dir, RUN_CONFIG)
    if resume_model is not None and os.path.isfile(path):
        before = read_yaml(path)
        changed = [key for key in sorted({*before, *settings}, key=str) if before.get(key) != settings.get(key)]
        if changed:
            logger.warning(f"the resumed run goes on with another config: {', '.join(changed)} changed")
    write_whole(path, yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))
    classes = classes_of(datasets["train_dataset"])
    write_whole(os.path.join(save_dir, CLASSES_FILE), classes_text(classes.names, classes.colours[: len(classes)]))
    with open(os.path.join(save_dir, RUN), "a", encoding="utf-8") as file:
        yaml.safe_dump([_facts(config, datasets, resume_model)], file, sort_keys=False, allow_unicode=True, width=1000)


@contextmanager
def log(save_dir: str) -> Iterator[None]:
    """Within it, what is printed also goes to log.txt, after what an earlier start left there."""
    stdout = sys.stdout
    with open(os.path.join(save_dir, LOG), "a", encoding="utf-8", buffering=1) as file:
        both = _Both(stdout, file)
        handlers = _handlers_on(stdout)
        for handler in handlers:
            handler.setStream(both)
        try:
            with redirect_stdout(both):
                yield
        except BaseException as error:
            file.write(f"error: {type(error).__name__}: {one_line(error)}\n")
            raise
        finally:
            for handler in handlers:
                handler.setStream(stdout)


def summary(save_dir: str, best: tuple[float, int]) -> str:
    """Which model of the folder is the best, and what can be done with it.

    Args:
        best: its mIoU and its iteration; of a run that was not evaluated, a negative iteration.
    """
    score, iteration = best
    if iteration > 0:
        model = os.path.join(save_dir, "best_model", WEIGHTS)
        first = f"Best model: {model}, mIoU {score:.4f} at iteration {iteration}"
    else:
        models = _models(save_dir)
        if not models:
            return f"No model was saved in {save_dir}: the resumed checkpoint had reached `iters` already"
        model = os.path.join(models[-1], WEIGHTS)
        first = f"Last model: {model} (not evaluated: --do_eval does so)"
    with_model = shlex.join(["--config", os.path.join(save_dir, RUN_CONFIG), "--model_path", model])
    tools = {"Evaluate": "val", "Report": "report", "Export": "export"}
    return "\n".join([first, *(f"{what + ':':11} {_command(tool)} {with_model}" for what, tool in tools.items())])


class _Both:
    """Standard output that writes to a file, too."""

    def __init__(self, stream, file):
        self._stream, self._file = stream, file

    def write(self, text: str) -> int:
        self._file.write(text)
        return self._stream.write(text)

    def flush(self) -> None:
        self._file.flush()
        self._stream.flush()

    def __getattr__(self, name: str):
        return getattr(self._stream, name)


def _handlers_on(stream) -> list:
    """The handlers of all loggers that write to `stream`: PaddleSeg's since 2.9."""
    import logging

    loggers = [logging.getLogger(name) for name in logging.root.manager.loggerDict]
    return [handler for one in loggers for handler in one.handlers if getattr(handler, "stream", None) is stream]


def _models(save_dir: str) -> list[str]:
    """The folders of models in `save_dir`, checkpoints last and in the order of their iterations."""
    if not os.path.isdir(save_dir):
        return []
    folders = [os.path.join(save_dir, name) for name in ("best_model", "ema_best_model")]
    folders += [folder for _, folder in numbered_checkpoints(save_dir)]
    return [folder for folder in folders if glob(f"{escape(folder)}/*.pdparams")]


def _delete(save_dir: str) -> None:
    """Delete the models and records of the run in `save_dir`, and no other file."""
    for folder in _models(save_dir):
        shutil.rmtree(folder)
    for name in (RUN_CONFIG, RUN, LOG, CLASSES_FILE, "vdlrecords.*.log"):
        for path in glob(f"{escape(save_dir)}/{name}"):
            os.remove(path)


def _plain(value):
    """`value` with lists in the place of tuples, which only Python's own YAML has."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _facts(config: Config, datasets: dict, resume_model: str | None) -> dict:
    devices = paddle.distributed.ParallelEnv().nranks
    pictures = len(datasets["train_dataset"])
    facts = {
        "started": time.strftime("%Y-%m-%d %H:%M:%S"),
        "command": _command_line(),
        "resumed_from": resume_model,
        "device": paddle.get_device() if devices == 1 else f"{devices} x {paddle.get_device().partition(':')[0]}",
        "versions": {"python": platform.python_version(), **installed_versions()},
        "data": {key: f"{type(data).__name__}, {len(data)} images" for key, data in datasets.items()},
        "classes": datasets["train_dataset"].num_classes,
        "iterations": config.iters,
        "batch_size": config.batch_size,
        "epochs": round(config.iters * config.batch_size * devices / max(pictures, 1), 2),
    }
    return {key: value for key, value in facts.items() if value is not None}


def _command_line() -> str:
    """How this tool was started: a file by Python, or `paddleseg-ext train`."""
    program = sys.argv[0] if sys.argv[0].startswith("paddleseg-ext ") else f"python {shlex.quote(sys.argv[0])}"
    return f"{program} {shlex.join(sys.argv[1:])}"


def _command(tool: str) -> str:
    """How `tool` is started in the same way."""
    if sys.argv[0].startswith("paddleseg-ext "):
        return f"paddleseg-ext {tool}"
    return f"python {shlex.quote(os.path.join(os.path.dirname(sys.argv[0]), tool + '.py'))}"
