"""Measure speed and memory side by side: inference, training steps, losses, encoding, boundary targets, streaming."""

import argparse
import importlib
import sys

from paddleseg_ext.command import run

SUBJECTS = {
    "inference": ("paddleseg_ext.benchmarks.inference", "networks x sizes x backends x threads"),
    "training": ("paddleseg_ext.benchmarks.training", "the parts of a training step"),
    "mkl": ("paddleseg_ext.benchmarks.mkl", "a training step with MKL's SSE2 and AVX2 kernels on an AMD processor"),
    "losses": ("paddleseg_ext.benchmarks.losses", "each loss, forward and backward"),
    "encoding": ("paddleseg_ext.benchmarks.encoding", "EncNet's encoding against PaddleSeg's"),
    "boundary": ("paddleseg_ext.benchmarks.boundary", "labels to boundary targets"),
    "watching": ("paddleseg_ext.benchmarks.watching", "an evaluation that VisualDL shows against a plain one"),
    "streaming": ("paddleseg_ext.benchmarks.streaming", "a folder of images against the bare network"),
}


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    subjects = parser.add_subparsers(dest="subject", required=True)
    for name, (module, help_text) in SUBJECTS.items():
        subject = subjects.add_parser(name, help=help_text, description=help_text)
        if name in sys.argv[1:2]:  # the others need not be imported
            importlib.import_module(module).add_arguments(subject)
    return parser.parse_args()


def main(args):
    return importlib.import_module(SUBJECTS[args.subject][0]).main(args)


if __name__ == "__main__":
    run(main, parse_args)
