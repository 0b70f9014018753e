"""Evaluate a network on its validation set: PaddleSeg's tools/val.py for those who have PaddleSeg from PyPI."""

import argparse

from paddleseg_ext.command import add_network_arguments, add_test_arguments, merge_test_config, run


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    add_network_arguments(parser)
    parser.add_argument("--num_workers", type=int, default=0, help="processes that load data (default: %(default)s)")
    add_test_arguments(parser, "--aug_eval")
    parser.add_argument("--data_format", default="NCHW", choices=["NCHW", "NHWC"])
    parser.add_argument(
        "--auc_roc", type=truth, default=False, metavar="BOOL", help="True: also compute the area under the ROC curve"
    )
    ours = parser.add_argument_group("beyond PaddleSeg")
    ours.add_argument("--boundary", action="store_true", help="also measure boundary IoU and boundary F-score")
    ours.add_argument(
        "--boundary_widths", nargs="+", type=int, default=[1, 2, 4], help="in pixels (default: %(default)s)"
    )
    ours.add_argument(
        "--save_dir", default="./output/val", help="folder for boundary.json and .csv (default: %(default)s)"
    )
    return parser.parse_args()


def truth(word: str) -> bool:
    """PaddleSeg's flag is true for any word but the empty one; here words that say no are false."""
    return word.lower() not in ("", "0", "f", "false", "n", "no", "none", "off")


def main(args):
    from paddleseg.core import evaluate
    from paddleseg.utils import utils

    from paddleseg_ext.analysis.boundary_quality import evaluate_boundaries, report_table, write_report
    from paddleseg_ext.builder import Builder, classes_of, find_run, load_config, load_network, set_data_format
    from paddleseg_ext.tables import text_table

    path, weights = find_run(args.config, args.model_path)
    config = load_config(path, opts=args.opts)
    test_config = merge_test_config(config.test_config, args, "aug_eval")
    utils.show_env_info()
    utils.show_cfg_info(config)
    set_data_format(config, args.data_format)
    model = load_network(config, weights, args.device)
    dataset = Builder(config).val_dataset
    test_config.update(num_workers=args.num_workers, auc_roc=args.auc_roc)
    names = classes_of(config).names
    if args.boundary:
        report = evaluate_boundaries(model, dataset, names, args.boundary_widths, **test_config)
        print(text_table(*report_table(report)))
        print("Written:", *write_report(report, args.save_dir))
    else:
        _, _, iou, precision, _ = evaluate(model, dataset, **test_config)
        rows = [[name, f"{i:.4f}", f"{p:.4f}"] for name, i, p in zip(names, iou, precision)]
        print(text_table(["class", "iou", "precision"], rows))


if __name__ == "__main__":
    run(main, parse_args)
