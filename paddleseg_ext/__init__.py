"""EncNet, SANet and boundary losses for PaddleSeg.

Importing this package registers every component in `paddleseg.cvlibs.manager` and applies those repairs of
`paddleseg_ext.host` that ``PADDLESEG_EXT_REPAIRS`` names, by default what could not run otherwise: at once if PaddleSeg
is loaded, otherwise as soon as it is. Until then neither Paddle nor PaddleSeg is needed, so that a tool's ``--help`` is
quick.
"""

from __future__ import annotations

import importlib
import sys
import zlib  # noqa: F401  before paddle: Paddle 2.6's libpaddle exports zlib's symbols (see autoload)
from importlib.util import find_spec
from typing import TYPE_CHECKING

from paddleseg_ext import autoload

if TYPE_CHECKING:
    from paddleseg_ext.boundary import *  # noqa: F403
    from paddleseg_ext.datasets import *  # noqa: F403
    from paddleseg_ext.layers import *  # noqa: F403
    from paddleseg_ext.losses import *  # noqa: F403
    from paddleseg_ext.models import *  # noqa: F403
    from paddleseg_ext.predictor import *  # noqa: F403

__version__ = "0.2.0"

_COMPONENTS = ("datasets", "layers", "losses", "models")
_PUBLIC = ("boundary", *_COMPONENTS, "predictor")
"""The modules whose `__all__` are the names that can be imported from here."""


def register() -> None:
    """Register every component now, loading Paddle and PaddleSeg; more than once does nothing."""
    importlib.import_module("paddleseg")  # first: the hook registers after it, and not amid the imports below
    importlib.import_module(f"{__name__}.host").apply()
    for name in _COMPONENTS:
        importlib.import_module(f"{__name__}.{name}")


def __getattr__(name: str):
    if name == "__all__" or not name.startswith("_"):
        if find_spec(f"{__name__}.{name}"):
            return importlib.import_module(f"{__name__}.{name}")
        register()
        modules = [importlib.import_module(f"{__name__}.{module}") for module in _PUBLIC]
        public = {public: module for module in modules for public in module.__all__}
        if name == "__all__":
            return sorted(public)
        if name in public:
            return getattr(public[name], name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__getattr__("__all__")]


if "paddleseg" in sys.modules:
    register()
else:
    autoload.wait_for_paddleseg()
