"""Train PaddleSeg's ENCNet and this package's EncNet from the same weights on the same synthetic street scenes.

    python docs/scripts/compare_encnet.py

writes docs/results/encnet_vs_stock.json: the losses of each iteration, in float32 and in float64, and the time and the
memory of a step in float32. In float32 any two roundings of the same function part ways after a few steps, which ENCNet
from weights that are multiplied by 1 + 2^-23 shows; in float64 they do not. Each network trains in a process of its
own, with PaddleSeg changed as little as its version needs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time

from shared import write_result

from paddleseg_ext.command import REPAIRS_SWITCH, run

STOCK, OURS, MOVED = "ENCNet of PaddleSeg", "EncNet", "ENCNet from weights moved by a rounding"
DTYPES = ("float32", "float64")
CLASSES = 19
SEED = 1


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", nargs=2, type=int, default=[320, 240], metavar=("W", "H"), help="(default: 320 240)")
    parser.add_argument("--batch", type=int, default=2, help="images in a batch (default: %(default)s)")
    parser.add_argument("--iters", type=int, default=20, help="iterations (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="(default: %(default)s)")
    return parser.parse_args()


def main(args):
    from paddleseg_ext.benchmarks.measuring import conditions

    networks = compare(args.size, args.batch, args.iters, args.threads)
    result = {
        "backbone": "ResNet18_vd, output stride 16",
        "size": args.size,
        "batch": args.batch,
        "iterations": args.iters,
        "seed": SEED,
        "conditions": conditions("cpu", args.threads),
        "largest_difference": {
            **{dtype: largest_difference(networks[STOCK][dtype], networks[OURS][dtype]) for dtype in DTYPES},
            "moved": largest_difference(networks[STOCK]["float32"], networks[MOVED]["float32"]),
        },
        "networks": networks,
    }
    print(f"Largest difference of a loss: {result['largest_difference']}")
    write_result("encnet_vs_stock", result)


def compare(size: list[int], batch: int, iters: int, threads: int) -> dict[str, dict[str, dict]]:
    """{network: {dtype: what `train` returns}}."""
    from paddleseg_ext.benchmarks.measuring import in_fresh_process

    with tempfile.TemporaryDirectory() as folder:
        weights = f"{folder}/start.pdparams"  # written by the first, read by all
        return {
            name: {
                dtype: in_fresh_process(threads, train, name, weights, dtype, size, batch, iters) for dtype in dtypes
            }
            for name, dtypes in ((STOCK, DTYPES), (OURS, DTYPES), (MOVED, DTYPES[:1]))
        }


def largest_difference(one: dict, other: dict) -> float:
    return max(abs(a - b) for a, b in zip(one["losses"], other["losses"]))


def train(name: str, weights: str, dtype: str, size: list[int], batch: int, iters: int) -> dict:
    """The losses, the median seconds of a step, and by how many bytes training lifts the peak of memory."""
    os.environ[REPAIRS_SWITCH] = "needed"  # `all` would give ENCNet this package's encoding
    import numpy as np
    import paddle
    from paddleseg.models import ENCNet
    from paddleseg.models.backbones import ResNet18_vd
    from paddleseg.models.losses import CrossEntropyLoss

    from paddleseg_ext import EncNet, EncodingBCELoss
    from paddleseg_ext.benchmarks.measuring import peak_memory
    from paddleseg_ext.street.scene import draw_picture

    paddle.set_device("cpu")
    paddle.seed(SEED)
    network_type = EncNet if name == OURS else ENCNet
    network = network_type(CLASSES, ResNet18_vd(output_stride=16), mid_channels=128, add_lateral=True)
    if not os.path.exists(weights):
        paddle.save(network.state_dict(), weights)
    missing, unexpected = network.set_state_dict(paddle.load(weights))
    assert not missing and not unexpected, (missing, unexpected)
    if name == MOVED:
        for parameter in network.parameters():
            parameter.set_value(parameter * (1 + 2**-23))
    network.to(dtype=dtype)
    losses = [(1, CrossEntropyLoss()), (0.4, CrossEntropyLoss()), (0.2, EncodingBCELoss(CLASSES))]
    optimizer = paddle.optimizer.Momentum(0.01, parameters=network.parameters())
    scenes = [draw_picture(SEED, "train", index, tuple(size)) for index in range(4 * batch)]

    paddle.seed(SEED)  # of the auxiliary head's dropout
    values, seconds, before = [], [], peak_memory()
    for step in range(iters):
        chosen = [scenes[(step * batch + i) % len(scenes)] for i in range(batch)]
        pictures = np.stack([picture for picture, _ in chosen]).transpose(0, 3, 1, 2)
        pictures = paddle.to_tensor(pictures.astype(dtype) / 127.5 - 1)
        labels = paddle.to_tensor(np.stack([label for _, label in chosen]).astype("int64"))
        start = time.perf_counter()
        loss = sum(weight * criterion(logits, labels) for (weight, criterion), logits in zip(losses, network(pictures)))
        loss.backward()
        optimizer.step()
        network.clear_gradients()
        values.append(float(loss))
        seconds.append(time.perf_counter() - start)
    return {
        "losses": values,
        "seconds_per_step": statistics.median(seconds),
        "memory": peak_memory() - before,
    }


if __name__ == "__main__":
    run(main, parse_args)
