"""Found by the Python processes that `python -m paddleseg_ext` starts, through PYTHONPATH: registers in them, too.

Python imports one module of this name at interpreter start; another one on the path still runs.
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGE = os.path.dirname(HERE)


def _wait_for_paddleseg():
    if os.environ.get("PADDLESEG_EXT_AUTOLOAD") == "0":
        return
    if os.path.dirname(PACKAGE) not in sys.path:  # a checkout that is not installed
        sys.path.append(os.path.dirname(PACKAGE))
    import paddleseg_ext  # noqa: F401  waits for PaddleSeg by itself


def _run_the_next():
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    others = [entry for entry in sys.path if os.path.abspath(entry or os.curdir) != HERE]
    spec = PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        module = sys.modules["sitecustomize"] = module_from_spec(spec)
        spec.loader.exec_module(module)


_wait_for_paddleseg()
_run_the_next()
