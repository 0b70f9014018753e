"""Compare SANet's context modules: a Markdown table of parameters, operations, latency and, if asked to train, mIoU."""

import argparse
import contextlib
import io
import os
import statistics
import time

from paddleseg_ext.command import DEVICES, run


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", help="the YAML of a SANet, whose context module is replaced")
    parser.add_argument(
        "--image_size",
        nargs=2,
        type=int,
        default=[1024, 512],
        metavar=("W", "H"),
        help="of the input (default: %(default)s)",
    )
    parser.add_argument(
        "--runs", type=int, default=20, help="forward passes; latency is their median (default: %(default)s)"
    )
    parser.add_argument(
        "--iters", type=int, default=0, help="iterations to train each before evaluating it (default: no training)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of initialisation and training (default: %(default)s)")
    parser.add_argument("--num_workers", type=int, default=0, help="processes that load data (default: %(default)s)")
    parser.add_argument("--save_dir", default="output/context_table", help="for checkpoints (default: %(default)s)")
    parser.add_argument(
        "--device", default="gpu", choices=DEVICES, help="where to run; gpu falls back to the CPU (default: gpu)"
    )
    parser.add_argument("--opts", nargs="+", metavar="KEY=VALUE", help="values to change in the YAML")
    return parser.parse_args()


def main(args):
    import paddle
    from paddleseg.utils import utils
    from prettytable import PrettyTable, TableStyle

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
        paddle.seed(args.seed)
        builder = Builder(config)
        network = builder.model
        miou = train(builder, args, os.path.join(args.save_dir, name.replace(" ", "_"))) if args.iters else None

        network.eval()
        picture = paddle.rand([1, 3, height, width])
        with paddle.no_grad():
            features = network.backbone(picture)[-1]
        rows.append((name, measure(network.context, features, args.runs), measure(network, picture, args.runs), miou))

    print(f"\n{config.model_cfg['backbone']['type']}, input {width}x{height}, batch 1, on {paddle.get_device()}:\n")
    figures = ("parameters, M", "GFLOPs", "ms")
    table = PrettyTable(["context", *(f"{part}: {f}" for part in ("module", "network") for f in figures), "mIoU, %"])
    table.set_style(TableStyle.MARKDOWN)
    for name, module, network, miou in rows:
        cells = [cell for p, f, ms in (module, network) for cell in (f"{p:.2f}", f"{f:.3f}", f"{ms:.1f}")]
        table.add_row([name, *cells, "" if miou is None else f"{100 * miou:.2f}"])
    print(table)


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

    with contextlib.redirect_stdout(io.StringIO()):  # it prints a line for each kind of layer
        operations = paddle.flops(layer, x.shape)
    milliseconds = []
    with paddle.no_grad():
        for _ in range(runs + 2):  # two to warm up
            start = time.perf_counter()
            layer(x)
            if paddle.get_device() != "cpu":
                paddle.device.synchronize()
            milliseconds.append(1000 * (time.perf_counter() - start))
    unused = ("aux_head.", "boundary_head.")
    parameters = sum(
        value.size
        for name, value in layer.named_parameters()
        if not value.stop_gradient and not name.startswith(unused)
    )
    return parameters / 1e6, operations / 1e9, statistics.median(milliseconds[2:])


if __name__ == "__main__":
    run(main, parse_args)
