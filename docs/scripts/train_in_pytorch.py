"""Train SANet-S in PyTorch from the weights and on the batches that tools/train.py starts from and trains on.

    python docs/scripts/train_in_pytorch.py --seed 1 --name NAME [--opts model.align_corners=False ...]

trains by the authors' recipe at the size that a CPU can train (configs/sanet/sanet_s_camvid_320x240_2k.yml), with the
losses written in PyTorch and the optimizer of PyTorch, and writes docs/results/NAME.json and NAME.csv with what
measure_run.py measures of a training by Paddle.
"""

from __future__ import annotations

import argparse
import math
import os
import shlex
import sys

import torch
import torch.nn.functional as F
from measure_run import measure
from shared import RESULTS, percent, write_result
from torch_sanet import SANetS, load, state_for_paddle

from paddleseg_ext.command import run

CONFIG = "configs/sanet/sanet_s_camvid_320x240_2k.yml"
IGNORED = 255
EVAL_INTERVAL = 500


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, required=True, help="seed of the weights and the batches")
    parser.add_argument("--name", required=True, help="name of the files in docs/results")
    parser.add_argument("--opts", nargs="+", metavar="KEY=VALUE", help="values to change in the YAML")
    return parser.parse_args()


def main(args):
    import paddle
    from paddleseg.core import evaluate

    from paddleseg_ext.benchmarks.measuring import conditions
    from paddleseg_ext.builder import Builder, load_config
    from paddleseg_ext.files import write_whole
    from paddleseg_ext.training.curves import csv_text

    paddle.set_device("cpu")
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 1)))
    config = load_config(CONFIG, opts=args.opts)
    network, batches, train = start(config, args.seed)
    val_dataset = Builder(config).val_dataset

    scalars: dict[str, dict[int, float]] = {"Train/loss": {}, "Evaluate/mIoU": {}}
    losses = []
    for iteration in range(1, config.iters + 1):
        losses.append(train(*next(batches)))
        if iteration % 10 == 0:  # as tools/train.py logs them
            scalars["Train/loss"][iteration] = sum(losses[-10:]) / 10
            print(f"{iteration}: {scalars['Train/loss'][iteration]:.4f}", flush=True)
        if iteration % EVAL_INTERVAL == 0 or iteration == config.iters:
            network.set_state_dict(state_for_paddle(train.network))
            scores = evaluate(network, val_dataset, num_workers=0, print_detail=False)
            scalars["Evaluate/mIoU"][iteration] = scores[0]
            print(f"{iteration}: validation mIoU {scores[0]:.4f}", flush=True)

    best = max(scalars["Evaluate/mIoU"], key=scalars["Evaluate/mIoU"].get)
    where = conditions("cpu", 1)
    network.eval()
    result = {
        "config": CONFIG,
        "command": f"python docs/scripts/train_in_pytorch.py {shlex.join(sys.argv[1:])}",
        "seed": args.seed,
        "iterations": config.iters,
        "machine": f"{where['processor']}, {where['cores']} cores",
        "stack": {"torch": torch.__version__},
        "best_val_mIoU": {"mIoU": percent(scalars["Evaluate/mIoU"][best]), "iteration": best},
        **{split: measure(network, config, split) for split in ("val", "test")},
    }
    write_whole(str(RESULTS / f"{args.name}.csv"), csv_text(scalars))
    write_result(args.name, result)


def start(config, seed: int):
    """Our network, the batches (image, label, boundary) without end, and a `Training` of the same network."""
    import paddle
    from paddleseg.utils import utils

    from paddleseg_ext.builder import Builder
    from paddleseg_ext.host.trainer import ResumedSampler, SeededSamples

    utils.set_seed(seed)
    builder = Builder(config)
    network = builder.model
    samples = SeededSamples(builder.train_dataset, seed)
    sampler = ResumedSampler(samples, batch_size=config.batch_size, shuffle=True, drop_last=True)
    loader = paddle.io.DataLoader(samples, batch_sampler=sampler, num_workers=0, return_list=True)

    def batches():
        while True:
            for data in loader:
                yield tuple(torch.from_numpy(data[key].numpy()) for key in ("img", "label", "edge"))

    return network, batches(), Training(network, config)


class Training:
    """A network in PyTorch with the weights of `network`; a call trains a step and returns the loss."""

    def __init__(self, network, config):
        self.network = SANetS(network.main_head[-1][-1].weight.shape[0], network.align_corners)
        load(self.network, {name: value.numpy() for name, value in network.state_dict().items()})
        options = config.dic["optimizer"]
        self.optimizer = torch.optim.SGD(
            self.network.parameters(),
            config.dic["lr_scheduler"]["learning_rate"],
            options["momentum"],
            weight_decay=options["weight_decay"],
            nesterov=options["use_nesterov"],
        )
        power = config.dic["lr_scheduler"]["power"]
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda i: (1 - i / config.iters) ** power)
        self.main, self.aux, _, self.boundary_aware = config.dic["loss"]["types"]
        self.coef = config.dic["loss"]["coef"]

    def __call__(self, image: torch.Tensor, label: torch.Tensor, edge: torch.Tensor) -> float:
        self.network.train()
        loss = sum(c * part for c, part in zip(self.coef, self.losses(image, label.long(), edge)))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        return float(loss.detach())

    def losses(self, image, label, edge) -> list[torch.Tensor]:
        main, aux, boundary = self.network(image)
        over_all = self.aux["type"] == "AllPixelCrossEntropyLoss"
        aux_loss = F.cross_entropy(aux, label, ignore_index=IGNORED, reduction="none" if over_all else "mean").mean()
        on_boundary = torch.sigmoid(boundary.detach()[:, 0]) > 0.8
        return [
            ohem(main, label, **hard(self.main)),
            aux_loss,
            balanced_bce(boundary[:, 0], (edge != 0) & (edge != IGNORED)),
            ohem(main, label.where(on_boundary, label.new_tensor(IGNORED)), **hard(self.boundary_aware)),
        ]


def hard(options: dict) -> dict:
    return {key: options[key] for key in ("thresh", "min_kept")}


def ohem(logits, label, thresh: float, min_kept: int) -> torch.Tensor:
    """Mean cross entropy of the pixels of probability below `thresh`, or of the `min_kept` least probable."""
    losses = F.cross_entropy(logits, label, ignore_index=IGNORED, reduction="none")
    valid = losses[label != IGNORED]
    if not len(valid):
        return logits.sum() * 0
    hardest = valid.detach().topk(min(min_kept, len(valid))).values[-1]
    return valid[valid >= hardest.clamp(max=-math.log(thresh))].mean()


def balanced_bce(logits, target) -> torch.Tensor:
    """A pixel on a boundary weighs the share of those that are not, and the reverse."""
    share = target.float().mean()
    weight = torch.where(target, 1 - share, share)
    return F.binary_cross_entropy_with_logits(logits, target.float(), weight)


if __name__ == "__main__":
    run(main, parse_args)
