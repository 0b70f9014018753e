"""Compare SANet's context modules: a Markdown table of parameters, operations, latency and, if asked to train, mIoU.

The figures also go into <save_dir>/context_table.json.
"""

import argparse
import json
import os

from paddleseg_ext.command import DEVICES, UserError, run


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

    from paddleseg_ext.benchmarks.context import compare, table
    from paddleseg_ext.builder import load_config
    from paddleseg_ext.files import write_whole

    model = load_config(args.config, opts=args.opts).model_cfg
    if "backbone" not in model:
        raise UserError(f"--config {args.config}: {model['type']} has no backbone: give the YAML of a SANet")
    backbone = model["backbone"]["type"]
    rows = compare(args)
    os.makedirs(args.save_dir, exist_ok=True)
    report = {"size": args.image_size, "runs": args.runs, "modules": rows}
    write_whole(os.path.join(args.save_dir, "context_table.json"), json.dumps(report, indent=1) + "\n")
    width, height = args.image_size
    print(f"\n{backbone}, input {width}x{height}, batch 1, on {paddle.get_device()}:\n\n{table(rows)}")


if __name__ == "__main__":
    run(main, parse_args)
