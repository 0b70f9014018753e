"""What to train own data with: crop, batch, iterations, learning rate and class weights, proposed from the data."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np

LONGEST_SIDE = 1024
"""Larger images are scaled down to this: a crop of 512 of a 12-megapixel photo would show no whole object."""
LONGEST_CROP = 512
CROP_STEP = 32
BATCH_PIXELS = 1 << 20
"""Of a batch: four crops of 512x512, which a GPU of 8 GB takes."""
EPOCHS = 80
ITERATIONS = (1000, 80_000)
REFERENCE_BATCH = 4
"""That of the recipes whose learning rates were tried."""
LARGEST_WEIGHT = 10.0
TEMPLATE = Path(__file__).with_name("own_config.yml")

NETWORKS: dict[str, dict] = {
    "sanet_s": {"type": "SANet", "backbone": "SANetEncoder_S", "learning_rate": 0.002},
    "sanet_m": {"type": "SANet", "backbone": "SANetEncoder_M", "learning_rate": 0.002},
    "sanet_l": {"type": "SANet", "backbone": "SANetEncoder_L", "learning_rate": 0.002},
    "encnet_r18": {"type": "EncNet", "backbone": "ResNet18_vd", "width": 128, "learning_rate": 0.001},
    "encnet_r50": {"type": "EncNet", "backbone": "ResNet50_vd", "width": 512, "learning_rate": 0.001},
    "encnet_r101": {"type": "EncNet", "backbone": "ResNet101_vd", "width": 512, "learning_rate": 0.001},
}
PRETRAINED = {
    "ResNet18_vd": "https://bj.bcebos.com/paddleseg/dygraph/resnet18_vd_ssld_v2.tar.gz",
    "ResNet50_vd": "https://bj.bcebos.com/paddleseg/dygraph/resnet50_vd_ssld_v2.tar.gz",
    "ResNet101_vd": "https://bj.bcebos.com/paddleseg/dygraph/resnet101_vd_ssld.tar.gz",
}


@dataclass(frozen=True)
class Proposal:
    """Sizes are (width, height); `longest_side` is None where images stay as they are."""

    crop: tuple[int, int]
    batch: int
    iters: int
    epochs: int
    learning_rate: float
    warmup: int
    weights: list[float]
    min_kept: int
    longest_side: int | None


def propose(
    network: str,
    pictures: int,
    median_size: tuple[int, int],
    median_frequency_weights: list[float],
    crop: tuple[int, int] | None = None,
    batch: int | None = None,
    iters: int | None = None,
) -> Proposal:
    """For a training on `pictures` images; what is given of `crop`, `batch` and `iters` is kept.

    Args:
        network: a key of `NETWORKS`.
        median_size: of the images.
        median_frequency_weights: of the classes, see `check_report`. Their square roots are the weights: a class of
            a hundredth of the median's pixels weighs ten times as much, not a hundred times, with which it would
            spread over its neighbours.
    """
    longest = max(median_size)
    scale = min(1, LONGEST_SIDE / longest)
    if crop is None:
        shrink = min(1, LONGEST_CROP / (longest * scale)) * scale
        width, height = (max(CROP_STEP, int(side * shrink) // CROP_STEP * CROP_STEP) for side in median_size)
        crop = width, height
    if batch is None:
        batch = 2 ** int(math.log2(np.clip(BATCH_PIXELS / math.prod(crop), 2, 16)))
        batch = max(1, min(batch, pictures))
    if iters is None:
        iters = int(np.clip(round(EPOCHS * pictures / batch, -2), *ITERATIONS))
    return Proposal(
        crop=crop,
        batch=batch,
        iters=iters,
        epochs=max(1, round(iters * batch / max(pictures, 1))),
        learning_rate=float(f"{NETWORKS[network]['learning_rate'] * math.sqrt(batch / REFERENCE_BATCH):.2g}"),
        warmup=max(1, min(100, iters // 10)),
        weights=[round(min(math.sqrt(weight), LARGEST_WEIGHT), 2) for weight in median_frequency_weights],
        min_kept=batch * math.prod(crop) // 16,
        longest_side=LONGEST_SIDE if scale < 1 else None,
    )


def config_text(network: str, proposal: Proposal, **data) -> str:
    """The YAML. `data`: root, lists (split -> path), separator, channels, train (its part of the report), command."""
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters["quoted"] = lambda value: json.dumps(value, ensure_ascii=False)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    net = NETWORKS[network]
    return template.render(net=net, pretrained=PRETRAINED.get(net["backbone"]), proposal=proposal, **data)
