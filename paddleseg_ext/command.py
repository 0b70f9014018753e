"""What every tool shares: one-line errors, building from a YAML, finding the pictures.

A tool is a file in ``tools/`` with `parse_args` and `main(args)`; it ends with ``run(main, parse_args)``.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import sys
from typing import Callable

from paddleseg_ext.cpu import choose_mkl_path

_TRACEBACK_SWITCH = "PADDLESEG_EXT_TRACEBACK"


class UserError(Exception):
    """Something the user can fix; the message is one line: what (file or key), the value, the fix."""


def run(main: Callable[[argparse.Namespace], int | None], parse_args: Callable[[], argparse.Namespace]) -> None:
    """Run a tool; any error becomes one line on stderr and exit status 1 (2 for wrong flags, as argparse has it).

    ``PADDLESEG_EXT_TRACEBACK=1`` shows the whole stack trace instead.
    """
    args = parse_args()
    choose_mkl_path()
    try:
        status = main(args)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if os.environ.get(_TRACEBACK_SWITCH) == "1":
            raise
        sys.stdout.flush()
        error = _user_error_behind(error)
        print(f"error: {one_line(error)}", file=sys.stderr)
        if not isinstance(error, UserError):
            print(f"({type(error).__name__}; {_TRACEBACK_SWITCH}=1 shows where)", file=sys.stderr)
        sys.exit(1)
    sys.exit(status or 0)


def _user_error_behind(error: BaseException) -> BaseException:
    """The `UserError` that PaddleSeg's builder wrapped into its own error, or else `error`."""
    behind = error
    while behind is not None and not isinstance(behind, UserError):
        behind = behind.__cause__ or behind.__context__
    return behind or error


def one_line(error: BaseException) -> str:
    """The last telling line of an error's text: PaddleSeg's builder and Paddle's workers nest messages in many."""
    lines = [re.sub(r"^([\w.]+(Error|Exception): )+", "", line.strip()) for line in str(error).splitlines()]
    lines = [line for line in lines if line.strip("-=^~ ") and not line.startswith(("[Hint:", "(at ", "[operator <"))]
    return lines[-1] if lines else type(error).__name__


def nearest(name: str, known) -> str:
    """``; did you mean 'SANet'?`` for a close miss, else the known names."""
    known = sorted(known)
    lower = {k.lower(): k for k in known}
    close = difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.6)
    if close:
        return "did you mean " + " or ".join(repr(lower[c]) for c in close) + "?"
    return "known: " + ", ".join(known)


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
