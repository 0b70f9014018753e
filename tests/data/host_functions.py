"""Prints, as JSON, what every function of paddle and paddleseg is made of: {where it stands: [its name, its content]}.

Run with and without this package, in processes of their own; tests/test_host.py compares.
"""

import inspect
import json
import sys
import types
import zlib  # noqa: F401  before paddle, which the hook else does

import paddleseg.core
import paddleseg.models  # noqa: F401


def content(value):
    if isinstance(value, (staticmethod, classmethod)):
        value = value.__func__
    if isinstance(value, property):
        return [content(one) for one in (value.fget, value.fset)]
    code = getattr(value, "__code__", None)
    return code_content(code) if isinstance(code, types.CodeType) else type(value).__name__


def code_content(code):
    constants = [code_content(one) if isinstance(one, types.CodeType) else str(one) for one in code.co_consts]
    return [code.co_code.hex(), code.co_names, code.co_varnames, code.co_filename, constants]


def name_of(value, place):
    owner = getattr(value, "__module__", None)
    return f"{owner}.{value.__qualname__}" if inspect.isroutine(value) and owner else place


def main():
    found = {}
    for name, module in sorted(sys.modules.items()):
        if name.split(".")[0] not in ("paddle", "paddleseg") or not isinstance(module, types.ModuleType):
            continue
        for attribute, value in vars(module).items():
            if attribute.startswith("__") or isinstance(value, types.ModuleType):
                continue
            place = f"{name}.{attribute}"
            found[place] = [name_of(value, place), content(value)]
            if isinstance(value, type) and str(getattr(value, "__module__", "")).startswith("paddle"):
                for member, function in vars(value).items():
                    if member not in ("__dict__", "__weakref__", "__doc__", "__abstractmethods__", "_abc_impl"):
                        full = f"{value.__module__}.{value.__qualname__}.{member}"
                        found[full] = [full, content(function)]
    print("\n" + json.dumps(found))


main()
