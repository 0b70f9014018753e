"""Evaluate a network on its validation set: PaddleSeg's tools/val.py for those who have PaddleSeg from PyPI."""

import argparse

from paddleseg_ext.command import add_test_arguments, merge_test_config, run


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", help="the YAML file")
    parser.add_argument("--model_path", help="trained weights (.pdparams)")
    parser.add_argument("--num_workers", type=int, default=0, help="processes that load data (default: %(default)s)")
    parser.add_argument("--device", default="gpu", choices=["cpu", "gpu", "xpu", "npu", "mlu"])
    add_test_arguments(parser, "--aug_eval")
    parser.add_argument("--data_format", default="NCHW", choices=["NCHW", "NHWC"])
    parser.add_argument("--auc_roc", type=bool, default=False, help="also compute the area under the ROC curve")
    parser.add_argument("--opts", nargs="+", help="key=value changes of the YAML")
    return parser.parse_args()


def main(args):
    from paddleseg.core import evaluate
    from paddleseg.utils import utils

    from paddleseg_ext.building import Builder, load_config, load_network, set_data_format

    config = load_config(args.config, opts=args.opts)
    test_config = merge_test_config(config.test_config, args, "aug_eval")
    utils.show_env_info()
    utils.show_cfg_info(config)
    set_data_format(config, args.data_format)
    model = load_network(config, args.model_path, args.device)
    evaluate(model, Builder(config).val_dataset, num_workers=args.num_workers, auc_roc=args.auc_roc, **test_config)


if __name__ == "__main__":
    run(main, parse_args)
