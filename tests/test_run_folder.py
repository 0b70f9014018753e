"""The folder of a training run, and the flags of tools/train.py."""

import ast
import logging
import os
import sys
from pathlib import Path

import pytest
import yaml
from paddleseg.cvlibs import Config
from picture_support import NUM_CLASSES, SANET, run_tool, write_config, write_dataset

from paddleseg_ext.builder import Builder, load_config, set_data_format
from paddleseg_ext.command import UserError
from paddleseg_ext.training import run_folder

ROOT = Path(__file__).resolve().parents[1]
FLAGS_OF_DEVELOP = (ROOT / "tests/data/paddleseg_train_flags.txt").read_text().split()  # of October 2024
CHECKOUT = os.environ.get("PADDLESEG_CHECKOUT")


def flags(path):
    calls = [node for node in ast.walk(ast.parse(Path(path).read_text())) if isinstance(node, ast.Call)]
    names = [call.args[0].value for call in calls if getattr(call.func, "attr", "") == "add_argument" and call.args]
    return {name.removeprefix("--") for name in names}


def test_every_flag_of_paddleseg_is_there():
    assert flags(ROOT / "tools" / "train.py") == {*FLAGS_OF_DEVELOP, "overwrite"}


@pytest.mark.skipif(CHECKOUT is None, reason="PADDLESEG_CHECKOUT names no checkout of PaddleSeg")
def test_every_flag_of_a_checkout_is_there():
    assert flags(Path(CHECKOUT) / "tools" / "train.py") <= flags(ROOT / "tools" / "train.py")


@pytest.fixture(scope="module")
def config_path(tmp_path_factory):
    folder = write_dataset(tmp_path_factory.mktemp("data"), count=2)
    (folder / "classes.txt").write_text("ground 1 2 3\nwater\ntree\ncar\n")
    return write_config(folder, **SANET, outputs=["main"])


@pytest.mark.parametrize(
    "wrong, told",
    [
        ({"iters": 0}, "--iters 0: give at least 1"),
        ({"save_interval": 0}, "--save_interval 0: give at least 1"),
        ({"early_stop_intervals": 3}, "--early_stop_intervals needs --do_eval"),
        ({"use_multilabel": True}, "--use_multilabel: this PaddleSeg does not have it"),
        ({"for_fd": True}, "--for_fd: works only with uniform_output_enabled in the YAML"),
        ({"output_op": "softmax"}, "--output_op: works only with uniform_output_enabled in the YAML"),
    ],
)
def test_flags_that_mean_nothing(wrong, told, config_path, tmp_path):
    from paddleseg.core import train

    if "use_multilabel" in wrong and "shuffle" in train.__code__.co_varnames:
        pytest.skip("this PaddleSeg can")
    with pytest.raises(UserError, match=told):
        run_tool("train", config=config_path, save_dir=tmp_path / "run", **wrong)
    assert not (tmp_path / "run").exists()


def write_model(folder):
    folder.mkdir(parents=True)
    (folder / "model.pdparams").write_bytes(b"weights")


def test_another_run_is_refused(tmp_path):
    save_dir = str(tmp_path / "run")
    run_folder.refuse_another_run(save_dir, None, False)  # there is no such folder
    (tmp_path / "run" / "iter_10").mkdir(parents=True)
    run_folder.refuse_another_run(save_dir, None, False)  # killed before its first checkpoint
    write_model(tmp_path / "run" / "iter_20")
    with pytest.raises(UserError, match=r"holds another run \(iter_20\): go on with it \(--resume_model .*--overwrite"):
        run_folder.refuse_another_run(save_dir, None, False)
    with pytest.raises(UserError, match="holds another run"):
        run_folder.refuse_another_run(save_dir, str(tmp_path / "elsewhere" / "iter_5"), False)
    run_folder.refuse_another_run(save_dir, f"{save_dir}/iter_20", False)
    run_folder.refuse_another_run(save_dir, None, True)
    with pytest.raises(UserError, match="--overwrite would delete what --resume_model goes on from"):
        run_folder.refuse_another_run(save_dir, f"{save_dir}/iter_20", True)


@pytest.mark.parametrize("more", [{}, {"overwrite": True}])
def test_the_folder_of_the_data_is_refused(more, config_path):
    with pytest.raises(UserError, match="--save_dir .*: is the dataset_root of train_dataset: give a folder of its"):
        run_tool("train", config=config_path, save_dir=f"{config_path.parent}/.", **more)
    assert (config_path.parent / "classes.txt").read_text().startswith("ground 1 2 3\nwater\n")


def start(config_path, save_dir, resume_model=None, overwrite=False, **updates):
    config = load_config(str(config_path), **updates)
    run_folder.start(str(save_dir), config, {"train_dataset": Builder(config).train_dataset}, resume_model, overwrite)
    return config


def test_the_folder_tells_what_was_run(config_path, tmp_path, monkeypatch, logged):
    monkeypatch.setattr(sys, "argv", ["tools/train.py", "--config", "my config.yml"])
    config = start(config_path, tmp_path, opts=["model.num_classes=4"])
    assert Config(str(tmp_path / "config.yml")).dic == config.dic
    assert (tmp_path / "classes.txt").read_text().splitlines()[:2] == ["ground 1 2 3", "water 0 128 0"]
    (run,) = yaml.safe_load((tmp_path / "run.yml").read_text())
    assert run["command"] == "python tools/train.py --config 'my config.yml'"
    assert run["data"] == {"train_dataset": "Dataset, 2 images"} and run["classes"] == NUM_CLASSES
    assert run["versions"]["paddleseg"] and "resumed_from" not in run

    start(config_path, tmp_path, resume_model=f"{tmp_path}/iter_1", batch_size=2)
    assert "goes on with another config: batch_size changed" in "\n".join(logged)
    assert [run.get("resumed_from") for run in yaml.safe_load((tmp_path / "run.yml").read_text())] == [
        None,
        f"{tmp_path}/iter_1",
    ]


def test_overwriting_deletes_the_run_and_nothing_else(config_path, tmp_path):
    write_model(tmp_path / "iter_10")
    write_model(tmp_path / "best_model")
    write_model(tmp_path / "my_models")
    for name in ("vdlrecords.1.log", "notes.txt", "log.txt"):
        (tmp_path / name).write_text("old")
    start(config_path, tmp_path, overwrite=True)
    assert sorted(os.listdir(tmp_path)) == ["classes.txt", "config.yml", "my_models", "notes.txt", "run.yml"]


def test_the_log_gets_what_is_printed(tmp_path, capsys):
    handler = logging.StreamHandler(sys.stdout)  # as PaddleSeg has it since 2.9
    logger = logging.getLogger("test_run_folder")
    logger.addHandler(handler)
    stdout = sys.stdout
    with pytest.raises(UserError), run_folder.log(str(tmp_path)):
        print("printed")
        logger.warning("logged")
        raise UserError("the disk is full")
    assert sys.stdout is stdout and handler.stream is stdout
    assert capsys.readouterr().out == "printed\nlogged\n"
    assert (tmp_path / "log.txt").read_text() == "printed\nlogged\nerror: UserError: the disk is full\n"


@pytest.mark.parametrize(
    "program, command",
    [("somewhere/train.py", "python somewhere/val.py"), ("paddleseg-ext train", "paddleseg-ext val")],
)
def test_the_last_lines(program, command, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", [program])
    save_dir = str(tmp_path)
    assert run_folder.summary(save_dir, (-1.0, -1)).startswith("No model was saved")
    write_model(tmp_path / "iter_9")
    write_model(tmp_path / "iter_10")
    assert run_folder.summary(save_dir, (-1.0, -1)).startswith(
        f"Last model: {save_dir}/iter_10/model.pdparams (not eval"
    )
    best = f"{save_dir}/best_model/model.pdparams"
    lines = run_folder.summary(save_dir, (0.5, 9)).splitlines()
    assert lines[0] == f"Best model: {best}, mIoU 0.5000 at iteration 9"
    assert lines[1] == f"Evaluate:   {command} --config {save_dir}/config.yml --model_path {best}"
    assert [line.split(":")[0] for line in lines[2:]] == ["Report", "Export"]


def test_a_training_in_one_command(config_path, tmp_path, capsys):
    output = tmp_path / "run"
    options = {"config": config_path, "iters": 2, "save_interval": 1, "log_iters": 1, "do_eval": True}
    run_tool("train", save_dir=output, **options)
    told = capsys.readouterr().out
    assert f"Best model: {output}/best_model/model.pdparams, mIoU 0." in told
    assert "Best model: " in (output / "log.txt").read_text()
    with pytest.raises(UserError, match="holds another run"):
        run_tool("train", save_dir=output, **options)
    run_tool("train", save_dir=output, resume_model=output, **{**options, "iters": 3})
    assert (output / "iter_3").is_dir()


def test_channels_last_is_for_deeplab_alone(config_path):
    config = load_config(str(config_path))
    with pytest.raises(UserError, match="--data_format NHWC works with DeepLabV3P only, not with SANet"):
        set_data_format(config, "NHWC")
    config.dic["model"] = {"type": "DeepLabV3P", "backbone": {"type": "ResNet50_vd"}}
    set_data_format(config, "NHWC")
    parts = (config.dic["model"], config.dic["model"]["backbone"], *config.dic["loss"]["types"])
    assert [part["data_format"] for part in parts] == ["NHWC"] * 3
