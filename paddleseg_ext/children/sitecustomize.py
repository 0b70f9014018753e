"""Found by the Python processes that `python -m paddleseg_ext` starts, through PYTHONPATH: registers in them, too.

Python imports one module of this name at interpreter start; another one on the path still runs.
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGE = os.path.dirname(HERE)


def _install_hook():
    import importlib.util

    spec = importlib.util.spec_from_file_location("paddleseg_ext_autoload", os.path.join(PACKAGE, "autoload.py"))
    assert spec is not None and spec.loader is not None  # as for every path that ends in .py
    module = importlib.util.module_from_spec(spec)
    sys.modules["paddleseg_ext_autoload"] = module
    spec.loader.exec_module(module)
    module.install()
    if os.path.dirname(PACKAGE) not in sys.path:  # a checkout that is not installed
        sys.path.append(os.path.dirname(PACKAGE))


def _run_the_next():
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    others = [entry for entry in sys.path if os.path.abspath(entry or os.curdir) != HERE]
    spec = PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        module = sys.modules["sitecustomize"] = module_from_spec(spec)
        spec.loader.exec_module(module)


_install_hook()
_run_the_next()
