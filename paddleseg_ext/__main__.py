"""Run any script with this package's components and repairs: no start-up hook and no change of the script needed.

python -m paddleseg_ext [--repairs all] tools/train.py --config CONFIG
python -m paddleseg_ext [--repairs all] -m paddle.distributed.launch --nproc_per_node 2 tools/train.py --config CONFIG

It works for the processes that the script starts, too.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import runpy
import sys

from paddleseg_ext.command import REPAIRS_SWITCH
from paddleseg_ext.cpu import choose_mkl_path


def parse_args():
    parser = argparse.ArgumentParser(
        "python -m paddleseg_ext", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    policies = "needed, all, none, or names with commas"
    parser.add_argument("--repairs", metavar="POLICY", help=f"{policies} (sets {REPAIRS_SWITCH})")
    parser.add_argument("-m", dest="module", nargs=argparse.REMAINDER, help="a module and its flags")
    parser.add_argument("script", nargs=argparse.REMAINDER, help="a script and its flags")
    args = parser.parse_args()
    if not args.module and not args.script:
        parser.error("give a script, or -m and a module")
    # of `a.b` just `a`: looking for `b` would import `a` before the repairs are chosen
    if args.module and importlib.util.find_spec(args.module[0].partition(".")[0]) is None:
        parser.error(f"-m {args.module[0]}: there is no such module")
    if not args.module and not os.path.isfile(args.script[0]):
        parser.error(f"{args.script[0]}: there is no such file")
    return args


def main() -> None:
    args = parse_args()
    choose_mkl_path()
    if args.repairs is not None:
        os.environ[REPAIRS_SWITCH] = args.repairs
    _register_in_children()
    sys.argv = args.module or args.script
    if args.module:
        runpy.run_module(args.module[0], run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = os.path.dirname(os.path.abspath(args.script[0]))
        runpy.run_path(args.script[0], run_name="__main__")


def _register_in_children() -> None:
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "children")
    paths = [folder, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    os.environ["PADDLESEG_EXT_AUTOLOAD"] = "1"  # of the hook in those processes, whatever it was


if __name__ == "__main__":
    main()
