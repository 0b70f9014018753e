"""SANet's context modules side by side: parameters, multiply-adds, latency and, if they are trained, mIoU."""

from __future__ import annotations

import argparse
import contextlib
import io
import os

from paddleseg_ext.benchmarks.measuring import repeat
from paddleseg_ext.tables import text_table

FORMATS = {"parameters, M": ".2f", "GFLOPs": ".3f", "ms": ".1f"}


def compare(args: argparse.Namespace) -> list[dict]:
    """A row for each context module in the network of a YAML; `args` are the flags of tools/context_table.py."""
    import paddle
    from paddleseg.utils import utils

    from paddleseg_ext.builder import Builder, load_config
    from paddleseg_ext.layers.pyramid_pooling import TAB_FORMS

    contexts = [{"type": name} for name in ("APPPM", "DAPPM", "SlimDAPPM")]
    contexts += [{"type": name, "tab": form} for name in ("SPPFTAB", "SPPFTABAdd") for form in TAB_FORMS]
    utils.set_device(args.device)
    width, height = args.image_size
    rows = []
    for context in contexts:
        name = " ".join(context.values())
        config = load_config(args.config, iters=args.iters, opts=args.opts)
        config.dic["model"]["context"] = context
        utils.set_seed(args.seed)
        builder = Builder(config)
        network = builder.model
        miou = train(builder, args, os.path.join(args.save_dir, name.replace(" ", "_"))) if args.iters else None

        network.eval()
        image = paddle.rand([1, 3, height, width])
        with paddle.no_grad():
            features = network.backbone(image)[-1]
        row: dict = {"context": name}
        for part, layer, x in (("module", network.context, features), ("network", network, image)):
            row.update({f"{part}: {figure}": value for figure, value in measure(layer, x, args.runs).items()})
        rows.append({**row, "mIoU, %": miou})
    return rows


def train(builder, args: argparse.Namespace, save_dir: str) -> float:
    """Train by the config and return the mIoU on its validation set in percent."""
    from paddleseg.core import evaluate
    from paddleseg.core import train as train_network

    train_network(
        builder.model,
        builder.train_dataset,
        optimizer=builder.optimizer,
        losses=builder.loss,
        iters=args.iters,
        batch_size=builder.config.batch_size,
        num_workers=args.num_workers,
        save_dir=save_dir,
        save_interval=args.iters,
    )
    return 100 * float(evaluate(builder.model, builder.val_dataset, num_workers=args.num_workers)[0])


def measure(layer, x, runs: int) -> dict[str, float]:
    """Parameters in use for inference, multiply-adds, and the median time of one input, in the units of `FORMATS`."""
    import paddle

    def run():
        layer(x)
        if paddle.get_device() != "cpu":
            paddle.device.synchronize()

    with contextlib.redirect_stdout(io.StringIO()):  # it prints a line for each kind of layer
        operations = paddle.flops(layer, x.shape)
    with paddle.no_grad():
        seconds = repeat(run, 2, runs).median
    unused = ("aux_head.", "boundary_head.")
    parameters = sum(
        value.size
        for name, value in layer.named_parameters()
        if not value.stop_gradient and not name.startswith(unused)
    )
    return dict(zip(FORMATS, (float(parameters / 1e6), operations / 1e9, 1e3 * seconds)))


def table(rows: list[dict]) -> str:
    """The rows of `compare` as Markdown."""
    return text_table(list(rows[0]), [[_cell(*item) for item in row.items()] for row in rows], markdown=True)


def _cell(column: str, value):
    return f"{value:{FORMATS.get(column.split(': ')[-1], '.2f')}}" if isinstance(value, float) else value
