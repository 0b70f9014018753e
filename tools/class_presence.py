"""Tell how well the SE branch predicts which classes a picture shows.

Prints, over the validation set, the average precision of each class beside its prior (the share of pictures that have
the class), which is what a constant guess reaches.
"""

import argparse

from paddleseg_ext.analysis import presence
from paddleseg_ext.command import run


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    presence.add_arguments(parser)
    return parser.parse_args()


if __name__ == "__main__":
    run(presence.main, parse_args)
