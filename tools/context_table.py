"""Compare SANet's context modules: a Markdown table of parameters, operations, latency and, if asked to train, mIoU.

The figures also go into <save_dir>/context_table.json.
"""

import argparse
import contextlib
import io
import json
import os

from paddleseg_ext.command import DEVICES, run


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", help="the YAML of a SANet; its context module is replaced")
    parser.add_argument(
        "--image_size", nargs=2, type=int, default=[1024, 512], metavar=("W", "H"), help="default: %(default)s"
    )
    parser.add_argument("--runs", type=int, default=20, help="latency is the median of so many (default: %(default)s)")
    parser.add_argument(
        "--iters", type=int, default=0, help="iterations to train each, then evaluate it (default: none)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of initialisation and training (default: %(default)s)")
    parser.add_argument("--num_workers", type=int, default=0, help="processes that load data (default: %(default)s)")
    parser.add_argument(
        "--save_dir", default="output/context_table", help="for the figures, and checkpoints (default: %(default)s)"
    )
    parser.add_argument("--device", default="gpu", choices=DEVICES)
    parser.add_argument("--opts", nargs="+", metavar="KEY=VALUE", help="changes of the YAML")
    return parser.parse_args()


def main(args):
    import paddle
    from paddleseg.utils import utils

    from paddleseg_ext.builder import Builder, load_config
    from paddleseg_ext.files import write_whole
    from paddleseg_ext.layers.pyramid_pooling import TAB_FORMS
    from paddleseg_ext.tables import text_table

    contexts = [{"type": name} for name in ("APPPM", "DAPPM", "SlimDAPPM")]
    contexts += [{"type": name, "tab": form} for name in ("SPPFTAB", "SPPFTABAdd") for form in TAB_FORMS]
    utils.set_device(args.device)
    width, height = args.image_size

    rows = []
    for context in contexts:
        name = " ".join(context.values())
        config = load_config(args.config, iters=args.iters, opts=args.opts)
        config.dic["model"]["context"] = context
        paddle.seed(args.seed)
        builder = Builder(config)
        network = builder.model
        miou = train(builder, args, os.path.join(args.save_dir, name.replace(" ", "_"))) if args.iters else None

        network.eval()
        picture = paddle.rand([1, 3, height, width])
        with paddle.no_grad():
            features = network.backbone(picture)[-1]
        costs = [*measure(network.context, features, args.runs), *measure(network, picture, args.runs)]
        rows.append([name, *costs, None if miou is None else f"{100 * miou:.2f}"])

    figures = ("parameters, M", "GFLOPs", "ms")
    header = ["context", *(f"{part}: {figure}" for part in ("module", "network") for figure in figures), "mIoU, %"]
    os.makedirs(args.save_dir, exist_ok=True)
    report = {"size": args.image_size, "runs": args.runs, "modules": [dict(zip(header, row)) for row in rows]}
    write_whole(os.path.join(args.save_dir, "context_table.json"), json.dumps(report, indent=1, default=float) + "\n")
    print(f"\n{config.model_cfg['backbone']['type']}, input {width}x{height}, batch 1, on {paddle.get_device()}:\n")
    print(text_table(header, rows, markdown=True))


def train(builder, args, save_dir):
    """Train by the config and return the mIoU on its validation set."""
    import random

    import numpy as np
    from paddleseg.core import evaluate
    from paddleseg.core import train as train_network

    random.seed(args.seed)
    np.random.seed(args.seed)
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
    return evaluate(builder.model, builder.val_dataset, num_workers=args.num_workers)[0]


def measure(layer, x, runs):
    """Millions of parameters in use for inference, 1e9 multiply-adds, and milliseconds (the median) for one input."""
    import paddle

    from paddleseg_ext.benchmarks.measuring import repeat

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
    return f"{parameters / 1e6:.2f}", f"{operations / 1e9:.3f}", f"{1e3 * seconds:.1f}"


if __name__ == "__main__":
    run(main, parse_args)
