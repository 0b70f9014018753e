"""Which repairs of PaddleSeg and Paddle there are, which of them are on, and the versions that decide it.

A repair is a function that patches one thing, decorated with `repair`; it patches with `wrap` and `replace`, so that
what a failing repair has patched already is taken back. Deleting the function removes the repair.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
from dataclasses import dataclass, field
from typing import Callable

import paddle
import paddleseg
from packaging.version import InvalidVersion, Version

from paddleseg_ext.command import nearest, one_line

SWITCH = "PADDLESEG_EXT_REPAIRS"
"""The environment variable of the policy: needed, all, none, or names of repairs separated by commas."""

OLDEST = {"Paddle": Version("2.6"), "PaddleSeg": Version("2.8")}
_NEWEST = Version("9999")  # of a build from source that has no version


def _paddle_version(text: str) -> Version:
    try:
        version = Version(text)
    except InvalidVersion:
        return _NEWEST
    return version if version.release > (0, 0, 0) else _NEWEST


def _paddleseg_version(text: str) -> Version:
    """PaddleSeg from git calls itself 0.0.0.dev0 whatever its age, so its age is told by what it has."""
    version = _paddle_version(text)
    if version is not _NEWEST:
        return version
    return Version("2.9" if importlib.util.find_spec("paddleseg.core.analyse") else "2.8")


PADDLE = _paddle_version(paddle.__version__)
PADDLESEG = _paddleseg_version(paddleseg.__version__)
PADDLESEG_BEFORE_2_9 = Version("2.9") > PADDLESEG


@dataclass
class Repair:
    """One repair: `patch` fixes what `reason` says.

    Attributes:
        needed: something raises an error by itself on the installed versions without it.
        useful: it changes anything on the installed versions.
        upstream: since when it is not needed, or that it is not fixed.
        is_on: whether it was applied.
        changed: the functions that it has replaced, such as ``paddle.save``.
    """

    patch: Callable[[], None]
    needed: bool
    useful: bool
    reason: str
    upstream: str
    is_on: bool = False
    changed: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.patch.__name__


REPAIRS: dict[str, Repair] = {}
_replaced: list[tuple[object, str, object]] = []  # (owner, name, original), in the order of replacing
_INHERITED = object()  # stands for an original that is not the owner's own


def repair(*, needed: bool, reason: str, upstream: str, useful: bool = True):
    """Register the decorated function as a repair of that name; see `Repair` for the arguments."""

    def register(patch: Callable[[], None]) -> Callable[[], None]:
        REPAIRS[patch.__name__] = Repair(patch, needed, useful or needed, reason, upstream)
        return patch

    return register


def replace(owner, name: str, new) -> None:
    """Set ``owner.name`` (of a module or a class) to `new`."""
    _replaced.append((owner, name, vars(owner).get(name, _INHERITED)))
    setattr(owner, name, new)


def wrap(owner, name: str, wrapper: Callable) -> None:
    """Replace ``owner.name`` by ``wrapper(original, *args, **kwargs)``."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapped(*args, **kwargs):
        return wrapper(original, *args, **kwargs)

    replace(owner, name, wrapped)


@functools.cache
def report(text: str) -> None:
    """One line for the user, once: nothing of this package raises an error into a script that imports PaddleSeg."""
    print(f"paddleseg_ext: {text}", file=sys.stderr)


def apply(policy: str | None = None) -> list[Repair]:
    """Switch on what `policy` names, by default that of the environment; returns all repairs that are on.

    What is on stays on. A repair that fails is reported in one line and takes back what it has patched.
    """
    _report_unsupported()
    for one in selected(os.environ.get(SWITCH) if policy is None else policy):
        if not one.is_on:
            _switch_on(one)
    return [one for one in REPAIRS.values() if one.is_on]


def selected(policy: str | None) -> list[Repair]:
    """The repairs that a policy means; reports each name that there is not."""
    chosen = set()
    for name in (policy or "needed").split(","):
        name = name.strip()
        if name == "needed":
            chosen.update(one.name for one in REPAIRS.values() if one.needed)
        elif name == "all":
            chosen.update(REPAIRS)
        elif name in REPAIRS:
            chosen.add(name)
        elif name not in ("none", ""):
            known = ["needed", "all", "none", *REPAIRS]
            report(f"{SWITCH}: there is no repair {name!r} ({nearest(name, known)}); the others are applied")
    return [one for one in REPAIRS.values() if one.name in chosen and one.useful]


def _switch_on(one: Repair) -> None:
    before = len(_replaced)
    try:
        one.patch()
    except Exception as error:  # code that is none of the known versions'
        while len(_replaced) > before:
            _take_back(*_replaced.pop())
        report(f"the repair {one.name} is left out: {type(error).__name__}: {one_line(error)}")
        return
    one.is_on = True
    one.changed = [_full_name(owner, name) for owner, name, _ in _replaced[before:]]


def _take_back(owner, name: str, original) -> None:
    if original is _INHERITED:
        delattr(owner, name)
    else:
        setattr(owner, name, original)


def _full_name(owner, name: str) -> str:
    prefix = owner.__name__ if hasattr(owner, "__spec__") else f"{owner.__module__}.{owner.__qualname__}"
    return f"{prefix}.{name}"


def _report_unsupported() -> None:
    installed = {"Paddle": PADDLE, "PaddleSeg": PADDLESEG}
    old = [f"{name} {version}" for name, version in installed.items() if version < OLDEST[name]]
    if old:
        supported = " and ".join(f"{name} >= {version}" for name, version in OLDEST.items())
        report(f"{' and '.join(old)} is older than what it is tested with ({supported}): what fits is registered")
