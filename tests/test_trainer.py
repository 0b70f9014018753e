"""What the repair `training_run` puts into PaddleSeg's trainer, by itself and in runs that are killed."""

import json
import os
import pickle
import re
import runpy
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from paddleseg.core import train
from picture_support import NUM_CLASSES, write_dataset
from process_support import start, survivors, tool

from paddleseg_ext.checkpoints import iteration_of, missing_files, newest_checkpoint
from paddleseg_ext.command import UserError
from paddleseg_ext.files import replacing
from paddleseg_ext.host.trainer import SCORES, ResumedSampler, SeededSamples, TrainingRun

ROOT = Path(__file__).resolve().parents[1]
CLASSES = 3
ITERATIONS = 24


class Noise(paddle.io.Dataset):
    """Images that are drawn anew at every reading."""

    num_classes = CLASSES
    ignore_index = 255

    def __init__(self, pictures=6):
        self.file_list = [(f"picture{i}.png", f"label{i}.png") for i in range(pictures)]

    def __len__(self):
        return len(self.file_list)

    def __getitem__(self, index):
        return {
            "img": np.random.rand(3, 8, 8).astype("float32"),
            "label": np.random.randint(0, CLASSES, (8, 8)).astype("int64"),
        }


class FailingLoss(paddle.nn.Layer):
    """Cross-entropy that becomes `value` at one iteration."""

    def __init__(self, at=3, value=float("nan")):
        super().__init__()
        self.iteration, self.at, self.value = 0, at, value

    def forward(self, logits, labels):
        self.iteration += 1
        loss = F.cross_entropy(logits, labels, axis=1)
        return loss * self.value if self.iteration == self.at else loss


class Network(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.conv = paddle.nn.Conv2D(3, CLASSES, 1)

    def forward(self, x):
        return [self.conv(x)]


def run_trainer(save_dir, dataset=None, loss=None, **options):
    network = Network()
    train(
        network,
        dataset or Noise(),
        optimizer=paddle.optimizer.SGD(0.1, parameters=network.parameters()),
        save_dir=str(save_dir),
        losses={"types": [loss or FailingLoss(at=0)], "coef": [1]},
        **{"iters": 4, "batch_size": 2, "save_interval": 2, "log_iters": 1, **options},
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_first_loss_that_is_no_number_stops_the_run(value, tmp_path):
    with pytest.raises(UserError) as caught:
        run_trainer(tmp_path, loss=FailingLoss(at=3, value=value))
    order = np.random.RandomState(0).permutation(6)  # Paddle's order of the first epoch
    pictures = ", ".join(f"picture{i}.png" for i in order[4:6])
    told = f"iteration 3: FailingLoss (number 1 of 1) is {value}; its images: {pictures}; lower the learning rate"
    assert str(caught.value).startswith(told)
    assert sorted(os.listdir(tmp_path)) == ["iter_2"]


def test_the_gradient_scaler_skips_losses_that_are_no_number(tmp_path, capfd):
    """On a CPU there is neither mixed precision nor a scaler: both losses from the third on are no numbers."""
    run_trainer(tmp_path, loss=FailingLoss(at=3), precision="fp16")
    assert capfd.readouterr().out.count("the gradient scaler skips this step") == 2


def test_ten_skipped_steps_in_a_row_stop_the_run(tmp_path):
    run = TrainingRun(Noise(), {"types": [FailingLoss()], "coef": [1]}, str(tmp_path), None, 0)
    run.make_sampler(run.samples, batch_size=2)
    finite, broken = paddle.to_tensor(0.5), paddle.to_tensor(float("inf"))

    def steps(loss, iterations):
        return [run.finish_step(iteration, loss, [loss], scaled=True) for iteration in iterations]

    assert steps(finite, [1]) + steps(broken, range(2, 11)) + steps(finite, [11]) == [0.5] * 11
    steps(broken, range(12, 21))
    with pytest.raises(UserError, match="iteration 21: FailingLoss .* is inf; .*the 9 before it: lower"):
        steps(broken, [21])


def test_less_pictures_than_a_batch(tmp_path):
    with pytest.raises(UserError, match="1 images on 1 devices do not fill a batch of 2: lower batch_size"):
        run_trainer(tmp_path, dataset=Noise(1))


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.data())
def test_a_resumed_sampler_goes_on_with_the_same_batches(data):
    ranks = data.draw(st.integers(1, 3), "ranks")
    batch = data.draw(st.integers(1, 4), "batch size")
    pictures = data.draw(st.integers(batch * ranks, 20), "images")
    start = data.draw(st.integers(0, 30), "iterations before")
    rank = data.draw(st.integers(0, ranks - 1), "rank")

    def batches(start, count):
        sampler = ResumedSampler(
            SeededSamples(range(pictures), None),
            batch_size=batch,
            num_replicas=ranks,
            rank=rank,
            shuffle=True,
            drop_last=True,
        )
        sampler.epoch, sampler.skipped = divmod(start, len(sampler))
        found = []
        while len(found) < count:
            found.extend(sampler)
        return found[:count], sampler

    whole, sampler = batches(0, start + 10)
    assert batches(start, 10)[0] == whole[start:]
    assert [[number % pictures for number in one] for one in whole] == [
        sampler.batch(iteration) for iteration in range(1, start + 11)
    ]


def test_what_transforms_draw_depends_on_seed_epoch_and_picture():
    def pictures(seed, *numbers):
        samples = SeededSamples(Noise(), seed)
        return [samples[number]["img"] for number in numbers]

    first, second, later = pictures(1, 0, 1, 6)
    again, *_ = pictures(1, 0)
    assert np.array_equal(first, again)
    for other in (second, later, *pictures(2, 0)):
        assert not np.array_equal(first, other)
    assert not np.array_equal(*[pictures(None, 0)[0] for _ in range(2)])


def write_checkpoint(folder, scores=None, value=1.0, files=("model.pdparams", "model.pdopt")):
    folder.mkdir(parents=True)
    for name in files:
        paddle.save({"w": np.full(2, value, "float32")}, str(folder / name))
    if scores is not None:
        (folder / SCORES).write_text(json.dumps(scores))
    return folder


def resumed(checkpoint, start_iter, save_dir=None):
    losses = {"types": [], "coef": []}
    return TrainingRun(Noise(), losses, str(save_dir or checkpoint.parent), str(checkpoint), start_iter)


def test_best_scores_are_restored(tmp_path):
    scores = {"model": [0.5, 10], "ema_model": [0.25, 20]}
    run = resumed(write_checkpoint(tmp_path / "iter_20", scores), 20)
    assert run.best == {"model": (0.5, 10), "ema_model": (0.25, 20)}
    assert not (tmp_path / "best_model").exists()  # that of iteration 10 stays as it was
    run.save_scores(str(tmp_path / "iter_20"), {"iter": 30, "mean_iou": 0.6, "ema_mean_iou": 0.1})
    assert resumed(tmp_path / "iter_20", 20).best == {"model": (0.6, 30), "ema_model": (0.25, 20)}


def test_a_best_model_that_was_not_copied_any_more(tmp_path):
    write_checkpoint(tmp_path / "best_model", value=1.0)
    resumed(write_checkpoint(tmp_path / "iter_20", {"model": [0.5, 20]}, value=2.0), 20)
    assert paddle.load(str(tmp_path / "best_model/model.pdparams"))["w"].numpy().tolist() == [2, 2]


def test_the_best_model_moves_to_the_folder_of_the_resumed_run(tmp_path):
    old = tmp_path / "old"
    write_checkpoint(old / "best_model", value=1.0)
    checkpoint = write_checkpoint(old / "iter_20", {"model": [0.5, 10]}, value=2.0)

    def best_of(save_dir):
        run = resumed(checkpoint, 20, save_dir)
        path = save_dir / "best_model" / "model.pdparams"
        return run.best["model"], paddle.load(str(path))["w"].numpy()[0] if path.is_file() else None

    assert best_of(tmp_path / "a") == ((0.5, 10), 1)
    write_checkpoint(old / "iter_10", {"model": [0.5, 10]}, value=3.0)  # which is sure to be it
    assert best_of(tmp_path / "b") == ((0.5, 10), 3)
    shutil.rmtree(old / "iter_10")
    write_checkpoint(old / "iter_30", {"model": [0.6, 30]}, value=4.0)  # the best model is of a later one
    assert best_of(tmp_path / "c") == ((-1.0, -1), None)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"model": 3}', '{"model": ["a", 1]}'])
def test_damaged_scores(text, tmp_path):
    checkpoint = write_checkpoint(tmp_path / "iter_20")
    (checkpoint / SCORES).write_text(text)
    with pytest.raises(UserError, match="scores.json: not the best scores of a run"):
        resumed(checkpoint, 20)


def test_a_checkpoint_of_plain_paddleseg(tmp_path):
    assert resumed(write_checkpoint(tmp_path / "iter_20"), 20).best["model"] == (-1.0, -1)


def test_averaged_weights_go_on_from_the_checkpoint(tmp_path):
    checkpoint, averaged, resumed_average = tmp_path / "iter_20", Network(), Network()
    paddle.save(averaged.state_dict(), str(checkpoint / "ema_model.pdparams"))
    resumed(checkpoint, 20).init_ema(resumed_average, Network())
    for name, value in averaged.state_dict().items():
        np.testing.assert_array_equal(resumed_average.state_dict()[name].numpy(), value.numpy())


def test_averaged_weights_of_another_network(tmp_path):
    checkpoint = write_checkpoint(tmp_path / "iter_20", files=("model.pdparams", "model.pdopt", "ema_model.pdparams"))
    with pytest.raises(UserError, match="ema_model.pdparams: no weights for conv.weight: are they of another network?"):
        resumed(checkpoint, 20).init_ema(Network(), Network())


def test_a_resumed_run_counts_the_checkpoints_that_are_there(tmp_path):
    for iteration in (2, 4, 6, 8):
        write_checkpoint(tmp_path / "output" / f"iter_{iteration}")
    options = {"save_dir": tmp_path / "output", "iters": 10, "keep_checkpoint_max": 2}
    run_trainer(**options, resume_model=str(tmp_path / "output" / "iter_6"))
    assert sorted(os.listdir(tmp_path / "output")) == ["iter_10", "iter_8"]


def test_checkpoints_of_other_runs_are_left_alone(tmp_path):
    write_checkpoint(tmp_path / "output" / "iter_1")
    write_checkpoint(tmp_path / "other" / "iter_2")
    options = {"save_dir": tmp_path / "output", "iters": 4, "save_interval": 1, "keep_checkpoint_max": 1}
    run_trainer(**options, resume_model=str(tmp_path / "other" / "iter_2"))
    assert sorted(os.listdir(tmp_path / "output")) == ["iter_1", "iter_4"]


def test_without_shuffling_each_epoch_draws_anew():
    samples = SeededSamples(range(6), 1)
    sampler = ResumedSampler(samples, batch_size=2, num_replicas=1, rank=0, shuffle=False, drop_last=True)
    assert [number for _ in range(2) for batch in sampler for number in batch] == list(range(12))


def test_only_whole_checkpoints_are_picked_up(tmp_path):
    assert newest_checkpoint(str(tmp_path)) is None
    write_checkpoint(tmp_path / "iter_9")
    write_checkpoint(tmp_path / "iter_20", files=("model.pdparams", "model.pdopt", "ema_model.pdparams"))
    write_checkpoint(tmp_path / "iter_100")
    write_checkpoint(tmp_path / "iter_200", files=("model.pdparams", "model.pdopt.part"))
    write_checkpoint(tmp_path / "best_model")
    assert newest_checkpoint(str(tmp_path)) == str(tmp_path / "iter_100")
    assert newest_checkpoint(str(tmp_path), use_ema=True) == str(tmp_path / "iter_20")
    assert missing_files(str(tmp_path / "iter_200")) == ["model.pdopt"]


def test_a_save_that_fails_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "model.pdparams"
    paddle.save({"weight": 1}, str(path))
    with pytest.raises((AttributeError, pickle.PicklingError)):
        paddle.save({"weight": 2, "local function": lambda: None}, str(path))
    assert paddle.load(str(path)) == {"weight": 1}
    assert os.listdir(tmp_path) == ["model.pdparams"]


def test_writers_of_one_path_have_names_of_their_own(tmp_path):
    path = tmp_path / "model.pdparams"
    with replacing(path) as first, replacing(path) as second:
        Path(first).write_text("first")
        Path(second).write_text("second")
        assert first != second
    assert path.read_text() == "first" and os.listdir(tmp_path) == ["model.pdparams"]


def test_what_killed_writers_left_goes_with_the_next_checkpoint(tmp_path):
    checkpoint = write_checkpoint(tmp_path / "iter_20")
    for name, minutes in (("model.pdopt.0a1b2c3d.part", 11), ("model.pdopt.aaaaaaaa.part", 1), ("my.part", 11)):
        (checkpoint / name).touch()
        os.utime(checkpoint / name, (time.time() - 60 * minutes,) * 2)
    resumed(checkpoint, 20).start_checkpoint(str(checkpoint))
    assert sorted(os.listdir(checkpoint)) == ["model.pdopt.aaaaaaaa.part", "model.pdparams", "my.part"]


def test_old_optimiser_state_goes_before_new_weights_come(tmp_path):
    checkpoint = write_checkpoint(tmp_path / "iter_20")
    resumed(checkpoint, 20).start_checkpoint(str(checkpoint))
    assert missing_files(str(checkpoint)) == ["model.pdopt"]


def test_deterministic_needs_a_seed(tmp_path, monkeypatch):
    tool = runpy.run_path(str(ROOT / "tools" / "train.py"))
    monkeypatch.setattr(sys, "argv", ["train", "--deterministic", "--save_dir", str(tmp_path)])
    with pytest.raises(UserError, match="--deterministic needs --seed"):
        tool["check_flags"](tool["parse_args"]())
    sys.argv += ["--seed", "0"]
    tool["check_flags"](tool["parse_args"]())


@pytest.mark.slow
def test_killed_while_saving(tmp_path, record_property):
    """Whenever a process that saves is killed, the file holds what was saved before or what is saved now."""
    path, kills, interrupted = str(tmp_path / "model.pdparams"), 60, 0
    paddle.save({"w": np.zeros(2_000_000, "float32")}, path)
    rng = np.random.default_rng(0)
    for _ in range(kills):
        child = os.fork()
        if child == 0:
            value = float(paddle.load(path, return_numpy=True)["w"][0])
            while True:
                value += 1
                paddle.save({"w": np.full(2_000_000, value, "float32")}, path)
        while not list(tmp_path.glob("*.part")):  # on a busy machine it takes long to come to write
            assert os.waitpid(child, os.WNOHANG) == (0, 0), "ended by itself"
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.03))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        left_over = list(tmp_path.glob("*.part"))
        interrupted += len(left_over)
        for part in left_over:
            part.unlink()
        weights = paddle.load(path, return_numpy=True)["w"]
        assert weights.shape == (2_000_000,) and (weights == weights[0]).all()
    assert interrupted > 5, "hardly ever killed while it wrote"
    record_property("cases", kills)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """EncNet (its auxiliary head drops out) on images that are scaled, cropped and flipped at random."""
    root = write_dataset(tmp_path_factory.mktemp("training"), count=7, size=(48, 48))

    def dataset(mode, *transforms):
        return {
            "type": "Dataset",
            "dataset_root": str(root),
            f"{mode}_path": str(root / "val.txt"),
            "num_classes": NUM_CLASSES,
            "mode": mode,
            "transforms": [*transforms, {"type": "Normalize"}],
        }

    augmentation = (
        {"type": "ResizeStepScaling"},
        {"type": "RandomPaddingCrop", "crop_size": [32, 32]},
        {"type": "RandomHorizontalFlip"},
        {"type": "RandomDistort"},
    )
    settings = {
        "batch_size": 2,
        "iters": ITERATIONS,
        "train_dataset": dataset("train", *augmentation),
        "val_dataset": dataset("val"),
        "optimizer": {"type": "SGD", "momentum": 0.9, "weight_decay": 4.0e-5},
        "lr_scheduler": {"type": "PolynomialDecay", "learning_rate": 0.01, "end_lr": 0, "power": 0.9},
        "model": {
            "type": "EncNet",
            "num_classes": NUM_CLASSES,
            "mid_channels": 32,
            "backbone": {"type": "ResNet18_vd"},
        },
        "loss": {
            "types": [{"type": "CrossEntropyLoss"}] * 2 + [{"type": "EncodingBCELoss", "num_classes": NUM_CLASSES}],
            "coef": [1, 0.4, 0.2],
        },
    }
    path = root / "config.yml"
    path.write_text(yaml.safe_dump(settings))
    return path


def training(config, save_dir, *flags, num_workers=1):
    flags = ("--config", config, "--save_dir", save_dir, "--num_workers", num_workers, *flags)
    fixed = "--device cpu --do_eval --use_ema --use_vdl --seed 3 --deterministic --log_iters 1 --save_interval 4"
    return "train", *fixed.split(), *flags


def losses(told):
    """{iteration: loss} as a log has them."""
    return {int(i): float(loss) for i, loss in re.findall(r"iter: (\d+)/\d+, loss: ([\d.]+)", told)}


def best_model(told):
    return re.findall(r"The (?:EMA )?model with the best .*", told)[-2:]


@pytest.fixture(scope="module")
def uninterrupted(config, tmp_path_factory):
    """(log, output folder) of a run from the first to the last iteration, with no worker."""
    output = tmp_path_factory.mktemp("uninterrupted")
    return tool(output, *training(config, output, "--overwrite", num_workers=0)), output


def assert_same_weights(output, expected):
    for name in ("model.pdparams", "ema_model.pdparams", "model.pdopt"):
        found, wanted = (
            paddle.load(str(folder / f"iter_{ITERATIONS}" / name), return_numpy=True) for folder in (output, expected)
        )
        assert found.keys() == wanted.keys()
        for key in wanted:
            if isinstance(wanted[key], np.ndarray):
                np.testing.assert_allclose(found[key], wanted[key], rtol=1e-6, atol=1e-7, err_msg=f"{name}: {key}")


def wait_for(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


@pytest.mark.slow
def test_killed_at_any_moment_the_run_ends_as_if_it_had_not_been(config, uninterrupted, tmp_path, record_property):
    kills, rng = 5, np.random.default_rng(1)
    expected_log, expected = uninterrupted
    output, resume, done, seen = tmp_path / "output", ("--overwrite",), 0, {}
    for number in range(kills):
        log = tmp_path / f"log{number}.txt"
        log.touch()
        run = start(log, *training(config, output, *resume))
        iteration = done + rng.integers(1, 7)  # on a busy machine seconds alone would end before the first checkpoint
        while f"iter: {iteration}/" not in log.read_text() and run.is_alive():
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 0.6))
        run.kill()
        run.join()
        assert wait_for(lambda: not survivors(run)), "data workers outlive the trainer"  # noqa: B023
        seen.update(losses(log.read_text()))
        checkpoint = newest_checkpoint(str(output), use_ema=True) if output.is_dir() else None
        if checkpoint:
            resume, done = ("--resume_model", output), iteration_of(checkpoint)
    assert done > 0, "no run was resumed"
    told = tool(tmp_path, *training(config, output, *resume))
    seen.update(losses(told))
    assert seen == losses(expected_log)
    assert best_model(told) == best_model(expected_log)
    assert_same_weights(output, expected)
    record_property("cases", kills)


@pytest.mark.slow
def test_resume_refuses_what_is_no_checkpoint(config, tmp_path):
    write_checkpoint(tmp_path / "iter_4", files=("model.pdparams",))
    for folder, told in (
        (tmp_path / "gone", "there is no such folder"),
        (tmp_path / "iter_4", "it holds no model.pdopt: the run was killed while it wrote it"),
        (tmp_path, "it holds no complete checkpoint"),
    ):
        flags = training(config, tmp_path / "output", "--resume_model", folder)
        assert f"error: --resume_model {folder}: {told}" in tool(tmp_path, *flags, status=1)
