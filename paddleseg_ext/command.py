"""What every tool shares: one-line errors, building from a YAML, finding the pictures.

A tool is a file in ``tools/`` with `parse_args` and `main(args)`; it ends with ``run(main, parse_args)``.
"""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from typing import Callable

_TRACEBACK_SWITCH = "PADDLESEG_EXT_TRACEBACK"


class UserError(Exception):
    """Something the user can mend; the message is one line: what (file or key), the value, the mend."""


def run(main: Callable[[argparse.Namespace], int | None], parse_args: Callable[[], argparse.Namespace]) -> None:
    """Run a tool; any error becomes one line on stderr and exit status 1 (2 for wrong flags, as argparse has it).

    ``PADDLESEG_EXT_TRACEBACK=1`` shows the whole stack trace instead.
    """
    args = parse_args()
    try:
        status = main(args)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if os.environ.get(_TRACEBACK_SWITCH) == "1":
            raise
        sys.stdout.flush()
        print(f"error: {one_line(error)}", file=sys.stderr)
        if not isinstance(error, UserError):
            print(f"({type(error).__name__}; {_TRACEBACK_SWITCH}=1 shows where)", file=sys.stderr)
        sys.exit(1)
    sys.exit(status or 0)


def one_line(error: BaseException) -> str:
    """The last telling line of an error's text: PaddleSeg's builder and Paddle's workers nest messages in many."""
    lines = [line.strip() for line in str(error).splitlines()]
    lines = [line for line in lines if line and not set(line) <= set("-=^~ ") and not line.startswith("[Hint:")]
    return lines[-1] if lines else type(error).__name__


def nearest(name: str, known) -> str:
    """``; did you mean 'SANet'?`` for a close miss, else the known names."""
    known = sorted(known)
    lower = {k.lower(): k for k in known}
    close = difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.6)
    if close:
        return "did you mean " + " or ".join(repr(lower[c]) for c in close) + "?"
    return "known: " + ", ".join(known)
