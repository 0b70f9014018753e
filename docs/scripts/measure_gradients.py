"""Measure how large the gradients of a training's first steps are and keep them in docs/results/gradients.json.

    python docs/scripts/measure_gradients.py

Their global norms before they are clipped, step by step, by SANet-S's recipes for CamVid and for the street scenes.
"""

from __future__ import annotations

import random

import numpy as np
import paddle
from paddleseg.core.train import loss_computation
from shared import ROOT, write_result

from paddleseg_ext.benchmarks.measuring import conditions
from paddleseg_ext.builder import Builder, load_config

RECIPES = ("sanet_s_boundary_dou_clip_camvid_320x240_2k", "sanet_s_street_256x128_230")
SEEDS = (1, 2)
STEPS = 50


def main() -> None:
    paddle.set_device("cpu")
    where = conditions("cpu", 1)
    runs = [
        {"config": recipe, "seed": seed, "norms": gradient_norms(f"{ROOT}/configs/sanet/{recipe}.yml", seed)}
        for recipe in RECIPES
        for seed in SEEDS
    ]
    write_result("gradients", {"machine": where["processor"], "paddlepaddle": where["paddlepaddle"], "runs": runs})


def gradient_norms(config: str, seed: int) -> list[float]:
    """The global norm of the gradients of each of the first `STEPS` steps."""
    random.seed(seed)
    np.random.seed(seed)
    paddle.seed(seed)
    builder = Builder(load_config(config))
    network, optimizer, losses = builder.model, builder.optimizer, builder.loss
    batches = paddle.io.DistributedBatchSampler(
        builder.train_dataset, builder.config.batch_size, shuffle=True, drop_last=True
    )
    network.train()
    norms: list[float] = []
    for data in paddle.io.DataLoader(builder.train_dataset, batch_sampler=batches, num_workers=0):
        sum(loss_computation(network(data["img"]), data["label"].astype("int64"), None, losses)).backward()
        squares = sum(float((p.grad**2).sum()) for p in network.parameters() if p.grad is not None)
        norms.append(round(squares**0.5, 2))
        if len(norms) == STEPS:
            break
        optimizer.step()
        optimizer.clear_grad()
        optimizer._learning_rate.step()
    return norms


if __name__ == "__main__":
    main()
