"""What PaddleSeg's trainer lacks for long runs: `TrainingRun`, put into it by the repair `training_run`."""

from __future__ import annotations

import inspect
import itertools
import json
import math
import os
import random
import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import paddle
from paddleseg.core import train
from paddleseg.utils import init_ema_params, logger, utils

from paddleseg_ext.checkpoints import newest_checkpoint, numbered_checkpoints
from paddleseg_ext.command import UserError, one_line
from paddleseg_ext.files import is_left_over, replacing, write_whole
from paddleseg_ext.host.patching import rewrite, wrap
from paddleseg_ext.host.registry import repair

if TYPE_CHECKING:
    from paddleseg_ext.training.watching import Watch

MAX_SKIPPED_STEPS = 10  # in a row, by the gradient scaler of mixed precision
SCORES = "scores.json"  # in a checkpoint's folder: {"model": [best mIoU, its iteration], "ema_model": ...}
_STATES_WITHOUT_SCORES = "                states_dict = {\n"  # of PaddleSeg 2.9.1, which has no name of its own version


@repair(
    "the first checkpoint of a run without --do_eval: UnboundLocalError: mean_iou",
    "only in PaddleSeg 2.9.1 (core/train.py)",
    needed=_STATES_WITHOUT_SCORES in inspect.getsource(train),
    useful=_STATES_WITHOUT_SCORES in inspect.getsource(train),
)
def checkpoints_without_evaluation():
    evaluated = "val_dataset is not None and "
    saves = [
        f"paddle.save({states},\n{indent}os.path.join(cur"
        for states, indent in (("states_dict", " " * 28), ("ema_states_dict", " " * 24))
    ]
    rewrite(
        train,
        (_STATES_WITHOUT_SCORES, f"                states_dict = {evaluated}{{\n"),
        ("ema_states_dict = {\n", f"ema_states_dict = {evaluated}{{\n"),
        *((save, evaluated + save) for save in saves),
    )


@repair(
    "a resumed run forgets the best score, the averaged weights and which checkpoints there are, and draws "
    "other batches; a loss that is not a number goes unnoticed",
    "not fixed in develop of October 2024 (core/train.py)",
)
def training_run():
    def remember_seed(original, seed=None):
        TrainingRun.seed = seed
        original(seed)

    # the trainer keeps the batch sampler, the best score and the losses in local variables, out of reach of a wrapper
    rewrite(
        train,
        (
            "batch_sampler = paddle.io.DistributedBatchSampler(",
            "from paddleseg_ext.host.trainer import TrainingRun; "
            "run = TrainingRun(train_dataset, losses, save_dir, resume_model, start_iter); "
            "train_dataset = run.samples; batch_sampler = run.make_sampler(",
        ),
        ("best_mean_iou = -1.0\n", "best_mean_iou, best_model_iter = run.best['model']\n"),
        ("best_ema_mean_iou = -1.0\n", "best_ema_mean_iou, best_ema_model_iter = run.best['ema_model']\n"),
        ("best_model_iter = -1\n", "\n"),
        ("save_models = deque()", "save_models = deque(run.kept_checkpoints(keep_checkpoint_max))"),
        (" init_ema_params(ema_model, model)", " run.init_ema(ema_model, model)"),
        ("avg_loss += float(loss)", "avg_loss += run.finish_step(iter, loss, loss_list, precision == 'fp16')"),
        ("log_writer = LogWriter(save_dir)", "log_writer = run.watched(LogWriter(save_dir), model)"),
        (
            " mean_iou, acc, _, _, _ = evaluate(",  # that of the averaged weights stays PaddleSeg's
            " mean_iou, acc, _, _, iters = run.evaluate(evaluate, iters, save_interval, ",
        ),
        (
            "                paddle.save(model.state_dict(),",
            "                run.start_checkpoint(current_save_dir); paddle.save(model.state_dict(),",
        ),
        (
            "                paddle.save(optimizer.state_dict(),",
            "                run.save_scores(current_save_dir, locals()); paddle.save(optimizer.state_dict(),",
        ),
    )
    wrap(utils, "set_seed", remember_seed)


@repair(
    "a loss that does not fit the output it is for, or a missing one, is not named",
    "not fixed in develop of October 2024 (core/train.py)",
)
def losses_that_fit():
    def named(original, logits_list, labels, edges, losses):
        try:
            return original(logits_list, labels, edges, losses)
        except MemoryError:  # as Paddle calls it on a GPU, too: no loss is to blame
            raise
        except Exception as error:
            told = _misfit(original, logits_list, labels, edges, losses, error)
            if told is error:
                raise
            raise told from error

    wrap(sys.modules[train.__module__], "loss_computation", named)  # the function hides its module


def _misfit(compute, logits_list, labels, edges, losses: dict, error: Exception) -> Exception:
    """The error that names the loss behind `error`, which `compute` raised."""
    types, coefficients = losses["types"], losses["coef"]
    if len(logits_list) != len(types):
        shapes = ", ".join(map(_shape, logits_list))
        return UserError(
            f"loss.types: {len(types)} losses ({', '.join(type(loss).__name__ for loss in types)}) for the "
            f"{len(logits_list)} outputs that the network has in training ({shapes}): give one for each, in this "
            "order, or choose the outputs, with model.outputs where the network has that"
        )
    for index, (logits, loss, coefficient) in enumerate(zip(logits_list, types, coefficients)):
        if type(loss).__name__ == "KLLoss":  # compares two outputs
            continue
        try:
            compute([logits], labels, edges, {"types": [loss], "coef": [coefficient]})
        except UserError as own:
            return own
        except Exception as own:
            return UserError(
                f"loss.types[{index}]: {type(loss).__name__} does not fit output {index + 1} of the network, "
                f"{_shape(logits)}, and labels {_shape(labels)}: {one_line(own)}"
            )
    return error


def _shape(value) -> str:
    return str(list(value.shape)) if hasattr(value, "shape") else f"({', '.join(map(_shape, value))})"


class TrainingRun:
    """The state of a training run: which batch comes next, the best scores so far, whether its losses are finite.

    PaddleSeg's trainer calls, in this order: the constructor, `make_sampler`, `kept_checkpoints`, `init_ema`; at each
    iteration `finish_step`; then `evaluate`, and at each checkpoint, `start_checkpoint` and `save_scores`.

    Args:
        dataset: the training images.
        losses: PaddleSeg's losses, ``{"types": [...], "coef": [...]}``.
        save_dir: folder of the checkpoints.
        resume_model: the checkpoint that the run goes on from, or None.
        start_iter: iterations done before.

    Raises:
        UserError: `resume_model` holds scores that cannot be read.
    """

    seed: int | None = None  # of PaddleSeg's `set_seed`
    early_stop_intervals: int | None = None  # evaluations in a row without a better mIoU, after which a run ends

    def __init__(self, dataset, losses: dict, save_dir: str, resume_model: str | None, start_iter: int):
        from paddleseg_ext.losses.common import set_steps

        self.losses = losses
        self.save_dir = save_dir
        self.resume_model = resume_model
        self.start_iter = start_iter
        self.iteration = start_iter
        self.rank = paddle.distributed.ParallelEnv().rank
        self.watch: Watch | None = None
        self.skipped_steps, self.last_loss = 0, 0.0
        self.samples = SeededSamples(dataset, self.seed)
        self.best = {"model": (-1.0, -1), "ema_model": (-1.0, -1)}
        self._seed_network(start_iter)
        set_steps(losses, start_iter)
        if resume_model is not None:
            self.best.update(_read_scores(resume_model))
            self._take_over_best_models(resume_model)

    def make_sampler(self, dataset: SeededSamples, **options) -> ResumedSampler:
        self.sampler = ResumedSampler(dataset, **options)
        if len(self.sampler) == 0:
            raise UserError(
                f"train_dataset: {len(dataset)} images on {self.sampler.nranks} devices do not fill a batch of "
                f"{self.sampler.batch_size}: lower batch_size"
            )
        self.sampler.epoch, self.sampler.skipped = divmod(self.start_iter, len(self.sampler))
        return self.sampler

    def kept_checkpoints(self, keep_max: int) -> list[str]:
        """The folders, oldest first, that count towards ``--keep_checkpoint_max`` (0: keep all) from the start.

        Those of the run that is resumed, up to where it goes on; what is over the maximum is removed.
        """
        if self.resume_model is None or not os.path.samefile(self.save_dir, os.path.join(self.resume_model, os.pardir)):
            return []
        folders = [folder for number, folder in numbered_checkpoints(self.save_dir) if number <= self.start_iter]
        while len(folders) > keep_max > 0:
            oldest = folders.pop(0)
            if self.rank == 0:
                shutil.rmtree(oldest, ignore_errors=True)
        return folders

    def init_ema(self, ema_model: paddle.nn.Layer, model: paddle.nn.Layer) -> None:
        """Go on with the averaged weights of the checkpoint; PaddleSeg would begin again with `model`'s.

        Raises:
            UserError: the checkpoint's averaged weights are not those of this network.
        """
        from paddleseg_ext.builder import load_weights

        path = self.resume_model and os.path.join(self.resume_model, "ema_model.pdparams")
        if path and os.path.isfile(path):
            load_weights(ema_model, path)
            return
        if path:
            logger.warning(
                f"{path}: there is no such file: the average begins again with the weights of this checkpoint"
            )
        init_ema_params(ema_model, model)

    def watched(self, writer, model: paddle.nn.Layer):
        """VisualDL's `writer`, or on the first device what shows more through it."""
        from paddleseg_ext.training.watching import Watch

        if self.rank != 0:
            return writer
        self.watch = Watch(writer, model, self.losses, self.best["model"])
        return self.watch

    def evaluate(self, evaluate, iters: int, save_interval: int, model, dataset, **settings) -> tuple:
        """What PaddleSeg's `evaluate` returns, with the iteration at which the run ends in the place of kappa."""
        from paddleseg_ext.training.watching import classes_of

        if self.watch is None:
            result = evaluate(model, dataset, **settings)
        else:
            result = self.watch.evaluate(evaluate, model, dataset, self.iteration, **settings)
        ious = zip(classes_of(dataset).names, result[2])
        logger.info("[EVAL] IoU by class: " + ", ".join(f"{name} {iou:.4f}" for name, iou in ious))
        if result[0] > self.best["model"][0]:
            self.best["model"] = (float(result[0]), self.iteration)
        score, best_iteration = self.best["model"]
        patience = self.early_stop_intervals
        if patience is not None and self.iteration - best_iteration >= patience * save_interval:
            logger.info(
                f"[EVAL] Early stop: no mIoU above {score:.4f}, that of iteration {best_iteration}, in the last "
                f"{patience} evaluations"
            )
            iters = self.iteration
        return (*result[:4], iters)

    def finish_step(
        self, iteration: int, loss: paddle.Tensor, loss_list: Sequence[paddle.Tensor], scaled: bool = False
    ) -> float:
        """The loss as the trainer sums it up. Reads the device once, as the trainer did.

        With a gradient scaler (`scaled`), a loss that is not finite is a step that the scaler skips: the last finite
        loss stands in for it, and only `MAX_SKIPPED_STEPS` of them in a row are an error.

        Raises:
            UserError: it is not finite; names the loss, the iteration and the images. Nothing was saved since.
        """
        self.iteration, value = iteration, float(loss)
        self._seed_network(iteration)
        if math.isfinite(value):
            self.skipped_steps, self.last_loss = 0, value
            return value
        self.skipped_steps += 1
        types, each = self.losses["types"], [float(one) for one in loss_list]
        worst = next((i for i, one in enumerate(each) if not math.isfinite(one)), None)
        name = "the sum of the losses"
        if worst is not None:
            name = type(types[worst]).__name__ if len(types) == len(each) else "the network's own loss"
            name += f" (number {worst + 1} of {len(each)})"
            value = each[worst]
        message = f"iteration {iteration}: {name} is {value}; its images: {', '.join(self._pictures(iteration))}"
        if not scaled:
            raise UserError(f"{message}; lower the learning rate, or resume from the last checkpoint")
        if self.skipped_steps == MAX_SKIPPED_STEPS:
            raise UserError(
                f"{message}; so were the {MAX_SKIPPED_STEPS - 1} before it: lower the learning rate, resume from "
                "the last checkpoint, or train with --precision fp32"
            )
        logger.warning(f"{message}; the gradient scaler skips this step")
        return self.last_loss

    def start_checkpoint(self, folder: str) -> None:
        """Delete the optimiser state of an earlier run, which beside new weights would pass for a whole checkpoint."""
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            if name == "model.pdopt" or is_left_over(path):
                os.remove(path)

    def save_scores(self, folder: str, trainer: dict) -> None:
        """Keep the best scores; those in the trainer's local variables (`trainer`) do not count this checkpoint yet."""
        for kind, score in (("model", "mean_iou"), ("ema_model", "ema_mean_iou")):
            if score in trainer and trainer[score] > self.best[kind][0]:
                self.best[kind] = (float(trainer[score]), trainer["iter"])
        write_whole(os.path.join(folder, SCORES), json.dumps(self.best))

    def _seed_network(self, iteration: int) -> None:
        """With a seed, what layers draw (dropout) depends on the iteration, not on what was drawn before."""
        if self.seed is not None:
            paddle.seed(int(np.random.default_rng((self.seed, iteration, self.rank)).integers(2**31)))

    def _pictures(self, iteration: int) -> list[str]:
        files = getattr(self.samples.dataset, "file_list", None)
        batch = self.sampler.batch(iteration)
        return [files[index][0] if files else f"number {index}" for index in batch]

    def _take_over_best_models(self, checkpoint: str) -> None:
        """Copy the best models of the run that goes on to where this one keeps its own.

        In the same folder they are there already, unless the run ended before it had copied the best checkpoint. In
        another, a best score whose weights are gone is forgotten.
        """
        folder = os.path.dirname(os.path.abspath(checkpoint))
        moved = os.path.realpath(folder) != os.path.realpath(self.save_dir)
        newest = newest_checkpoint(folder)
        of_newest = _read_scores(newest) if moved and newest else {}
        for kind, (_, iteration) in self.best.items():
            if iteration < 0 or not (moved or iteration == self.start_iter):
                continue
            best_model, file = "best_model" if kind == "model" else "ema_best_model", f"{kind}.pdparams"
            places = [os.path.join(checkpoint if iteration == self.start_iter else f"{folder}/iter_{iteration}", file)]
            if of_newest.get(kind) == self.best[kind]:  # else the best model may be of a later iteration
                places.append(os.path.join(folder, best_model, file))
            source = next(filter(os.path.isfile, places), None)
            if source is None and moved:
                self.best[kind] = (-1.0, -1)
            elif source is not None and self.rank == 0:
                os.makedirs(os.path.join(self.save_dir, best_model), exist_ok=True)
                with replacing(os.path.join(self.save_dir, best_model, file)) as partial:
                    shutil.copyfile(source, partial)


class SeededSamples(paddle.io.Dataset):
    """`dataset`, repeated without end: sample n is image ``n % len(dataset)`` in epoch ``n // len(dataset)``.

    With a seed, what the transforms draw depends on (seed, epoch, image) alone: not on the number of workers, nor on
    whether the run was interrupted.
    """

    def __init__(self, dataset, seed: int | None):
        self.dataset = dataset
        self.seed = seed

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, number: int):
        epoch, index = divmod(number, len(self.dataset))
        if self.seed is not None:
            generator = np.random.default_rng((self.seed, epoch, index))
            random.seed(int(generator.integers(2**32)))
            np.random.seed(int(generator.integers(2**32)))
        return self.dataset[index]


class ResumedSampler(paddle.io.DistributedBatchSampler):
    """PaddleSeg's batches from the point on where a run was interrupted: `skipped` batches into `epoch`."""

    epoch: int
    skipped = 0

    def __iter__(self) -> Iterator[list[int]]:
        epoch, skipped = self.epoch, self.skipped
        batches = list(super().__iter__())
        self.epoch, self.skipped = epoch + 1, 0  # Paddle counts epochs only when it shuffles
        for batch in batches[skipped:]:
            yield [epoch * len(self.dataset) + index for index in batch]

    def batch(self, iteration: int) -> list[int]:
        """The images of an iteration, counted from 1, on this rank."""
        epoch = self.epoch
        self.epoch, position = divmod(iteration - 1, len(self))
        batch = next(itertools.islice(super().__iter__(), position, None))
        self.epoch = epoch
        return batch


def best_score(checkpoint: str | None) -> tuple[float, int]:
    """The best mIoU of a run until `checkpoint` and its iteration; negative if it was never evaluated."""
    return (_read_scores(checkpoint) if checkpoint else {}).get("model", (-1.0, -1))


def _read_scores(checkpoint: str) -> dict[str, tuple[float, int]]:
    path = os.path.join(checkpoint, SCORES)
    if not os.path.isfile(path):  # a checkpoint of PaddleSeg without this package
        return {}
    try:
        with open(path, encoding="utf-8") as file:
            return {kind: (float(score), int(iteration)) for kind, (score, iteration) in json.load(file).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not the best scores of a run: {error}; delete it to begin them again") from error
