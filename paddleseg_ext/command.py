"""What every tool shares: one-line errors and flags.

A tool is a file in ``tools/`` with `parse_args` and `main(args)`; it ends with ``run(main, parse_args)``. What needs
Paddle is imported in `main`, so that ``--help`` does not wait for it.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import sys
import warnings
from collections.abc import Callable

from paddleseg_ext.cpu import choose_mkl_path

REPAIRS_SWITCH = "PADDLESEG_EXT_REPAIRS"
"""The environment variable with the policy of `paddleseg_ext.host`."""

_TRACEBACK_SWITCH = "PADDLESEG_EXT_TRACEBACK"


class UserError(Exception):
    """Something the user can fix; the message is one line: what (file or key), the value, the fix."""


def run(main: Callable[[argparse.Namespace], int | None], parse_args: Callable[[], argparse.Namespace]) -> None:
    """Run a tool; any error becomes one line on stderr and exit status 1 (2 for wrong flags, as argparse has it).

    An error other than `UserError`, which nobody foresaw, gets a second line with its type.
    Switches all repairs of PaddleSeg and Paddle on, unless ``PADDLESEG_EXT_REPAIRS`` says otherwise.
    ``PADDLESEG_EXT_TRACEBACK=1`` shows the whole stack trace instead.
    """
    args = parse_args()
    choose_mkl_path()
    os.environ.setdefault(REPAIRS_SWITCH, "all")  # for the processes that the tool starts, too
    # Paddle's import warns of it, which only whoever builds C++ operators needs to know
    warnings.filterwarnings("ignore", message="No ccache found")
    try:
        status = main(args)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if os.environ.get(_TRACEBACK_SWITCH) == "1":
            raise
        sys.stdout.flush()
        cause = _user_error_behind(error)
        print(f"error: {one_line(cause)}", file=sys.stderr)
        if not isinstance(cause, UserError):
            print(f"({type(cause).__name__}; {_TRACEBACK_SWITCH}=1 shows where)", file=sys.stderr)
        sys.exit(1)
    sys.exit(status or 0)


def _user_error_behind(error: BaseException) -> BaseException:
    """The `UserError` that PaddleSeg's builder wrapped into its own error, or else `error`."""
    behind: BaseException | None = error
    seen = set[int]()
    while behind is not None and not isinstance(behind, UserError) and id(behind) not in seen:
        seen.add(id(behind))
        behind = behind.__cause__ or behind.__context__
    return behind if isinstance(behind, UserError) else error


_SAYS_NOTHING = ("[Hint:", "(at ", "[operator <", "Expected Ptr<cv::UMat>")


def one_line(error: BaseException) -> str:
    """The last line of an error's text that means something: PaddleSeg and Paddle wrap messages in many lines."""
    lines = [re.sub(r"^(>  - |([\w.]+(Error|Exception): )+)", "", line.strip()) for line in str(error).splitlines()]
    lines = [line for line in lines if line.strip("-=^~ ") and not line.startswith(_SAYS_NOTHING)]
    return lines[-1] if lines else type(error).__name__


def nearest(name: str, known) -> str:
    """``did you mean 'SANet'?`` for a near miss, else the known names."""
    known = sorted(known)
    lower = {k.lower(): k for k in known}
    close = difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.6)
    if close:
        return "did you mean " + " or ".join(repr(lower[c]) for c in close) + "?"
    return "known: " + ", ".join(known)


DEVICES = ("cpu", "gpu", "xpu", "npu", "mlu")


def add_network_arguments(parser: argparse.ArgumentParser, device: bool = True) -> None:
    """The flags that say which network: ``--config``, ``--model_path``, ``--opts`` and, if wanted, ``--device``."""
    parser.add_argument(
        "--config", help="the YAML file of the network and its data set (default: config.yml of the run folder)"
    )
    parser.add_argument(
        "--model_path",
        help="trained weights: a .pdparams file, the --save_dir of a training (its best model is taken) or a folder "
        "in it like best_model",
    )
    if device:
        parser.add_argument(
            "--device", default="gpu", choices=DEVICES, help="where to run; gpu falls back to the CPU (default: gpu)"
        )
    parser.add_argument(
        "--opts",
        nargs="+",
        metavar="KEY=VALUE",
        help="values to change in the YAML, e.g. batch_size=2 val_dataset.dataset_root=DIR "
        "val_dataset.transforms.0.target_size=[512,256]",
    )


def picture_arguments(
    description: str, save_dir: str, labels: bool = False, default_pictures: str = "the val_dataset of the YAML"
) -> argparse.ArgumentParser:
    """A parser for a tool that works on images: which network, which images, a folder for the results.

    Args:
        labels: whether to take ``--label_path`` too.
        default_pictures: what is taken without ``--image_path``.
    """
    parser = argparse.ArgumentParser(description=description)
    add_network_arguments(parser)
    parser.add_argument(
        "--image_path",
        help="an image, a folder of images, or a list: a text file with an image on each line, relative to its "
        f"folder, optionally followed by its label (default: {default_pictures})",
    )
    if labels:
        parser.add_argument(
            "--label_path",
            help="the label of the image, or a folder that holds the label (.png) of each image under the same "
            "relative name; a list in --image_path can name the labels itself",
        )
    parser.add_argument("--save_dir", default=save_dir, help="folder for the results (default: %(default)s)")
    return parser


def add_test_arguments(parser: argparse.ArgumentParser, augment: str) -> None:
    """PaddleSeg's flags for augmented (`augment`: ``--aug_eval`` or ``--aug_pred``) and sliding-window inference."""
    parser.add_argument(augment, action="store_true", help="average over scales and flips")
    parser.add_argument("--scales", nargs="+", type=float, default=1.0, help="scales of the input, e.g. 0.75 1.0 1.25")
    parser.add_argument("--flip_horizontal", action="store_true", help="add the horizontally flipped input")
    parser.add_argument("--flip_vertical", action="store_true", help="add the vertically flipped input")
    parser.add_argument("--is_slide", action="store_true", help="infer by sliding window")
    parser.add_argument("--crop_size", nargs=2, type=int, metavar=("W", "H"), help="size of the sliding window")
    parser.add_argument("--stride", nargs=2, type=int, metavar=("W", "H"), help="stride of the sliding window")


def merge_test_config(test_config: dict, args: argparse.Namespace, augment: str) -> dict:
    """`test_config` of a YAML with what the flags of `add_test_arguments` change, as PaddleSeg's core takes it."""
    merged = {key: value for key, value in test_config.items() if key not in ("aug_eval", "aug_pred")}
    if test_config.get(augment) or getattr(args, augment):
        merged[augment] = True
    if getattr(args, augment):
        merged.update({key: getattr(args, key) for key in ("scales", "flip_horizontal", "flip_vertical")})
    if args.is_slide:
        if not (args.crop_size and args.stride):
            raise UserError("--is_slide needs --crop_size W H and --stride W H")
        merged.update(is_slide=True, crop_size=args.crop_size, stride=args.stride)
    return merged
