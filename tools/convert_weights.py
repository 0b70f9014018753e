"""Convert the SANet authors' PyTorch weights to Paddle, and report what they cover."""

import argparse
import os

from paddleseg_ext.command import UserError, run

BACKBONE = "backbone."


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="A published ImageNet file holds no trained heads: convert it with --part backbone for the YAML's "
        "`backbone: {pretrained: ...}`, or with --partial for `model: {pretrained: ...}`.",
    )
    parser.add_argument("--config", help="the YAML of the network to convert for")
    parser.add_argument("--src", required=True, help="the PyTorch file (.pt, .pth, .pth.tar)")
    parser.add_argument("--dst", required=True, help="the file to write (.pdparams)")
    parser.add_argument(
        "--part",
        choices=["network", "backbone"],
        default="network",
        help="convert all of it, or what the backbone's own `pretrained` takes (default: %(default)s)",
    )
    parser.add_argument("--partial", action="store_true", help="write what matches, even if the network needs more")
    parser.add_argument(
        "--class_order",
        choices=["dataset", "as_is"],
        default="dataset",
        help="of a CamVid config: put the classifiers' rows into the data set's order of classes, which is not the "
        "authors', or leave them as they are (default: %(default)s)",
    )
    return parser.parse_args()


def main(args):
    from paddleseg_ext.builder import Builder, drop_pretrained, load_config
    from paddleseg_ext.datasets import CamVid
    from paddleseg_ext.weights.pytorch_file import read_state_dict
    from paddleseg_ext.weights.sanet import OFFICIAL_ROWS, camvid_rows, convert

    if not args.dst.endswith(".pdparams"):
        raise UserError(f"--dst {args.dst}: the name has to end with .pdparams")
    config = load_config(args.config)
    drop_pretrained(config)  # may be the file that is to be written
    official = read_state_dict(args.src)
    network = Builder(config).model
    shapes = {name: value.shape for name, value in network.state_dict().items()}
    if args.part == "backbone":
        shapes = {name: shape for name, shape in shapes.items() if name.startswith(BACKBONE)}

    rows = None
    if args.class_order == "dataset" and args.part == "network" and config.train_dataset_cfg.get("type") == "CamVid":
        rows = camvid_rows(CamVid.CLASSES)
    weights, coverage = convert(official, shapes, rows)
    if coverage.source != coverage.target:
        raise UserError(
            f"{args.src} looks like {coverage.source}, {args.config} builds {coverage.target}: "
            "take the config of the same variant"
        )
    print(coverage.table())
    for problem in coverage.problems:
        print(f"  {problem}")
    if coverage.classes and not args.partial:
        found, needed = coverage.classes
        raise UserError(
            f"{args.src} was trained for {found} classes, {args.config} has {needed} (of files for more, those for "
            f"{OFFICIAL_ROWS} fit): take the config of its data set, or --partial, and the classifiers start afresh"
        )
    if not coverage.complete and not args.partial:
        raise UserError(
            f"{args.src} does not cover all that {args.config} needs ({len(coverage.problems)} entries, listed above); "
            "--partial writes what matches"
        )
    if rows is not None:
        order = ", ".join(f"{name} {row}" for name, row in zip(CamVid.CLASSES, rows))
        print(f"classifiers: rows put into the order of CamVid's classes, from the authors' (class and row): {order}")
    save(weights, args.dst, BACKBONE if args.part == "backbone" else "")
    print(f"{len(weights)} of {len(shapes)} entries written to {args.dst}")


def save(weights, path, prefix):
    """Write `.pdparams`, whole or not at all; `prefix` is cut off the names."""
    import paddle

    from paddleseg_ext.files import replacing

    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    state_dict = {name[len(prefix) :]: paddle.to_tensor(value) for name, value in weights.items()}
    with replacing(path) as partial:
        paddle.save(state_dict, partial)


if __name__ == "__main__":
    run(main, parse_args)
