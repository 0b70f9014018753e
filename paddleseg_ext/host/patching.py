"""Changing functions of PaddleSeg and Paddle from outside, in ways that can be undone."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from types import CodeType, FunctionType

_replaced: list[tuple[object, str, object]] = []  # (owner, name, original), in the order of replacing
_INHERITED = object()  # stands for an original that is not the owner's own


def replace(owner, name: str, new) -> None:
    """Set ``owner.name`` (of a module, a class or a function) to `new`."""
    original = getattr(owner, name) if isinstance(owner, FunctionType) else vars(owner).get(name, _INHERITED)
    _replaced.append((owner, name, original))
    setattr(owner, name, new)


def wrap(owner, name: str, wrapper: Callable) -> None:
    """Replace ``owner.name`` by ``wrapper(original, *args, **kwargs)``."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapped(*args, **kwargs):
        return wrapper(original, *args, **kwargs)

    replace(owner, name, wrapped)


def rewrite(function: FunctionType, *changes: tuple[str, str]) -> None:
    """Compile `function` again with its source changed: `changes` are pairs (a text in it, its replacement).

    In place, so that whoever has imported the function has the change, too. The lines keep their numbers.

    Raises:
        ValueError: the source does not hold a text exactly once: this is another version of the function.
    """
    lines, first = inspect.getsourcelines(function)
    text = getattr(function, "__repaired_source__", "".join(lines))
    for old, new in changes:
        if text.count(old) != 1:
            raise ValueError(f"{_name_of(function)} has changed: it holds {old.strip()!r} {text.count(old)} times")
        text = text.replace(old, new)
    module = sys.modules[function.__module__]
    whole = inspect.getsource(module).splitlines(keepends=True)
    whole[first - 1 : first - 1 + len(lines)] = [text]
    code = compile("".join(whole), inspect.getfile(module), "exec", dont_inherit=True)
    for name in function.__qualname__.split("."):
        code = next(one for one in code.co_consts if isinstance(one, CodeType) and one.co_name == name)
    replace(function, "__code__", code)
    function.__dict__.setdefault("__repaired_source__", "".join(lines))
    replace(function, "__repaired_source__", text)


def count() -> int:
    """How many changes there are; the argument of `undo` that returns to here."""
    return len(_replaced)


def undo(kept: int) -> None:
    """Undo, last first, all changes but the first `kept`."""
    while len(_replaced) > kept:
        owner, name, original = _replaced.pop()
        if original is _INHERITED:
            delattr(owner, name)
        else:
            setattr(owner, name, original)


def changed_since(kept: int) -> list[str]:
    """The functions that were changed after the first `kept`, such as ``paddle.save``."""
    names = []
    for owner, name, _ in _replaced[kept:]:
        if not isinstance(owner, FunctionType):
            names.append(f"{_name_of(owner)}.{name}")
        elif name == "__code__":
            names.append(_name_of(owner))
    return names


def _name_of(owner) -> str:
    return owner.__name__ if inspect.ismodule(owner) else f"{owner.__module__}.{owner.__qualname__}"
