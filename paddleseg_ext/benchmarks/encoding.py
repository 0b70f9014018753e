"""What the encoding costs: ours, PaddleSeg's, and the bare matrix products as the floor."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NamedTuple

from paddleseg_ext.benchmarks import measuring

FLOOR, OURS, PADDLESEG = "matrix products", "paddleseg_ext", "PaddleSeg"
CLASSES = 19


class Cost(NamedTuple):
    """Median seconds of a run, and by how many bytes the runs lift the peak of resident memory."""

    seconds: float
    extra_memory: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--measure",
        nargs="+",
        choices=["layer", "step"],
        default=["layer", "step"],
        help="the Encoding layer, a whole training step of the network with ResNet50_vd (default: both)",
    )
    parser.add_argument(
        "--shape",
        nargs=4,
        type=int,
        action="append",
        metavar=("N", "C", "H", "W"),
        help="input of the layer, may be given several times (default: 2 512 64 128, of Cityscapes at 1024x512)",
    )
    parser.add_argument("--num_codes", type=int, default=32, help="codewords (default: %(default)s)")
    parser.add_argument(
        "--crop",
        nargs=3,
        type=int,
        default=[2, 320, 240],
        metavar=("N", "W", "H"),
        help="batch and crop of the training step (default: 2 320 240)",
    )
    measuring.add_flags(parser, threads=2, runs=1)


def main(args: argparse.Namespace) -> None:
    where = measuring.conditions("cpu", args.threads)
    jobs: list[tuple[str, Callable, list[int], tuple[str, ...]]] = []
    if "layer" in args.measure:
        for shape in args.shape or [[2, 512, 64, 128]]:
            what = f"Encoding of {shape}, forward and backward"
            jobs.append((what, measure_layer, shape, (FLOOR, OURS, PADDLESEG)))
    if "step" in args.measure:
        batch, width, height = args.crop
        what = f"training step, ResNet50_vd, batch {batch}, crop {width}x{height}"
        jobs.append((what, measure_step, [batch, 3, height, width], (OURS, PADDLESEG)))
    figures, table = [], []
    for what, measure, shape, compared in jobs:
        costs = {
            whose: measuring.in_fresh_process(args.threads, measure, whose, shape, args.num_codes, args.runs)
            for whose in compared
        }
        figures += [{"what": what, "whose": whose, **cost._asdict()} for whose, cost in costs.items()]
        table += ratio_rows(what, costs)
    notes = [
        f"{args.num_codes} codewords, median of {args.runs} runs after a tiny one, each row in its own process. Extra "
        "memory: growth of the peak during the runs, so without the input and the network."
    ]
    measuring.write_report(args.save_dir, "encoding", where, figures, table, notes)


def ratio_rows(what: str, costs: dict[str, Cost]) -> list[dict[str, str | None]]:
    theirs = costs[PADDLESEG]
    rows = []
    for whose, cost in costs.items():
        row = {
            "what": what,
            "whose": whose,
            "time": f"{cost.seconds:.3f} s",
            "faster than PaddleSeg's": f"{theirs.seconds / cost.seconds:.1f}x",
            "extra memory": f"{cost.extra_memory / 1e6:.0f} MB",
            "less than PaddleSeg's": f"{theirs.extra_memory / cost.extra_memory:.1f}x" if cost.extra_memory else None,
        }
        if FLOOR in costs:
            row["time / matrix products"] = f"{cost.seconds / costs[FLOOR].seconds:.2f}"
        rows.append(row)
    return rows


def measure_layer(whose: str, shape: list[int], num_codes: int, runs: int) -> Cost:
    """Forward and backward of the layer on an input (N, C, H, W): the floor, ours or PaddleSeg's."""
    import paddle
    from paddleseg.models import encnet

    from paddleseg_ext.layers.encoding import Encoding

    paddle.set_device("cpu")
    if whose == FLOOR:
        codewords = paddle.create_parameter([num_codes, shape[1]], "float32")

        def work(x):
            x = x.flatten(2)
            assignment = paddle.ones([x.shape[0], num_codes, x.shape[2]])
            assignment.stop_gradient = False
            products = [paddle.matmul(codewords, x), paddle.matmul(assignment, x, transpose_y=True)]
            paddle.autograd.backward(products)
            codewords.clear_gradient()
    else:
        layer = {OURS: Encoding, PADDLESEG: encnet.Encoding}[whose](shape[1], num_codes)

        def work(x):
            layer(x).sum().backward()
            layer.clear_gradients()

    return _cost(work, shape, (2, 2), runs)


def measure_step(whose: str, shape: list[int], num_codes: int, runs: int) -> Cost:
    """A training step of the network on images (N, 3, H, W), ours or PaddleSeg's, each with its own SE loss."""
    import paddle
    from paddleseg.models import ENCNet
    from paddleseg.models.backbones import ResNet50_vd
    from paddleseg.models.losses import CrossEntropyLoss, SECrossEntropyLoss

    from paddleseg_ext.losses.encoding_bce import EncodingBCELoss
    from paddleseg_ext.models.encnet import EncNet

    paddle.set_device("cpu")
    network = {OURS: EncNet, PADDLESEG: ENCNet}[whose](CLASSES, ResNet50_vd(), num_codes=num_codes)
    se_loss = EncodingBCELoss(CLASSES) if whose == OURS else SECrossEntropyLoss()
    losses = [(1, CrossEntropyLoss()), (0.4, CrossEntropyLoss()), (0.2, se_loss)]
    optimizer = paddle.optimizer.Momentum(0.01, parameters=network.parameters())

    def work(x):
        labels = paddle.randint(0, CLASSES, [x.shape[0], *x.shape[2:]])
        sum(coef * loss(output, labels) for (coef, loss), output in zip(losses, network(x))).backward()
        optimizer.step()
        network.clear_gradients()

    return _cost(work, shape, (64, 64), runs)


def _cost(work: Callable, shape: list[int], tiny_size: tuple[int, int], runs: int) -> Cost:
    """The cost of ``work(x)`` for a leaf `x` of that shape, after one of a tiny size, which loads what is lazy."""
    import paddle

    def leaf(*size):
        x = paddle.rand([*shape[:2], *size])
        x.stop_gradient = False
        return x

    work(leaf(*tiny_size))
    x = leaf(*shape[2:])
    before = measuring.peak_memory()

    def run():
        work(x)
        x.clear_gradient()

    return Cost(measuring.repeat(run, 0, runs).median, measuring.peak_memory() - before)
