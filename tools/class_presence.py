"""Measure how well the SE branch of a network predicts which classes an image shows.

Prints, over the validation set, the average precision of each class beside its prior (the share of images that have
the class), which is what a constant guess reaches.
"""

import argparse

from paddleseg_ext.command import add_network_arguments, run


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    add_network_arguments(parser)
    return parser.parse_args()


def main(args):
    from paddleseg_ext.analysis.class_presence import precision_table, predict_present_classes
    from paddleseg_ext.builder import Builder, classes_of, find_run, load_config, load_network

    path, weights = find_run(args.config, args.model_path)
    config = load_config(path, opts=args.opts)
    model = load_network(config, weights, args.device)
    scores, present = predict_present_classes(model, Builder(config).val_dataset)
    print(precision_table(scores, present, classes_of(config).names))


if __name__ == "__main__":
    run(main, parse_args)
