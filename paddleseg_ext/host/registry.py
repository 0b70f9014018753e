"""Which repairs of PaddleSeg and Paddle there are, which of them are on, and the versions that decide it.

A repair is a function that patches one thing by `wrap`, `rewrite` and `replace`, decorated with `repair`. Deleting the
function removes the repair.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import paddle
import paddleseg.core
from packaging.version import InvalidVersion, Version

from paddleseg_ext.command import REPAIRS_SWITCH, nearest, one_line
from paddleseg_ext.host import patching
from paddleseg_ext.host.patching import rewrite

OLDEST = {"Paddle": Version("2.6"), "PaddleSeg": Version("2.8")}
_NEWEST = Version("9999")  # of a build from source, which has no version


def _version(text: str) -> Version:
    try:
        version = Version(text)
    except InvalidVersion:
        return _NEWEST
    return version if any(version.release) else _NEWEST


def _paddleseg_version(text: str) -> Version:
    """PaddleSeg from git always calls itself 0.0.0.dev0: the modules that it has show how old it is."""
    version = _version(text)
    if version is _NEWEST:
        version = Version("2.9" if importlib.util.find_spec("paddleseg.core.analyse") else "2.8")
    return version


PADDLE = _version(paddle.__version__)
PADDLESEG = _paddleseg_version(paddleseg.__version__)
PADDLE_3 = PADDLE.major >= 3
PADDLESEG_BEFORE_2_9 = PADDLESEG.release < (2, 9)


@dataclass
class Repair:
    """One repair: `patch` fixes what `reason` says.

    Attributes:
        needed: something raises an error by itself on the installed versions without it.
        useful: it changes anything on the installed versions.
        upstream: since when it is not needed, or that it is not fixed.
        is_on: whether it is applied.
        changed: the functions that it has changed, such as ``paddle.save``.
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
_chosen: list[str] = []  # by the last `apply`


def repair(reason: str, upstream: str, needed: bool = False, useful: bool = True):
    """Register the decorated function as the repair of its name; see `Repair` for the arguments."""

    def register(patch: Callable[[], None]) -> Callable[[], None]:
        REPAIRS[patch.__name__] = Repair(patch, needed, useful or needed, reason, upstream)
        return patch

    return register


def fixed_in_2_9(reason: str, *files: str, needed: bool = PADDLESEG_BEFORE_2_9, useful: bool = PADDLESEG_BEFORE_2_9):
    """`repair` of what PaddleSeg itself has fixed since, in some of its files."""
    return repair(reason, f"fixed in PaddleSeg 2.9 ({', '.join(files)})", needed, useful)


@functools.cache
def report(text: str) -> None:
    """One line for the user, once: nothing of this package raises an error into a script that imports PaddleSeg."""
    print(f"paddleseg_ext: {text}", file=sys.stderr)


def apply(policy: str | None = None) -> list[Repair]:
    """Switch on exactly the repairs that `policy` (default: the environment's) names; returns those that are on.

    A repair that fails is reported in one line, and what it has changed is undone.
    """
    _report_unsupported()
    chosen = selected(os.environ.get(REPAIRS_SWITCH) if policy is None else policy)
    names = [one.name for one in chosen]
    if names != _chosen:  # of these, those that failed are not tried again
        patching.undo(0)
        _chosen[:] = names
        for one in REPAIRS.values():
            one.is_on, one.changed = False, []
        for one in chosen:
            _switch_on(one)
        if any(one.is_on for one in chosen):
            _announce_when_training_starts()
    return [one for one in chosen if one.is_on]


def selected(policy: str | None) -> list[Repair]:
    """The repairs that a policy means on these versions; reports each unknown name."""
    chosen: set[str] = set()
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
            report(f"{REPAIRS_SWITCH}: there is no repair {name!r} ({nearest(name, known)}); the others are applied")
    return [one for one in REPAIRS.values() if one.name in chosen and one.useful]


def announce() -> None:
    """Say in PaddleSeg's log which repairs are on."""
    from paddleseg.utils import logger

    names = ", ".join(one.name for one in REPAIRS.values() if one.is_on)
    logger.info(f"paddleseg_ext: repairs that are on ({REPAIRS_SWITCH}): {names}; `paddleseg-ext doctor` says why")


def _announce_when_training_starts() -> None:
    call = "from paddleseg_ext.host.registry import announce; announce()"
    with contextlib.suppress(ValueError):  # an unknown trainer trains without this line
        rewrite(paddleseg.core.train, ("    model.train()\n    nranks =", f"    model.train(); {call}\n    nranks ="))


def _switch_on(one: Repair) -> None:
    before = patching.count()
    try:
        one.patch()
    except Exception as error:  # code of an unknown version
        patching.undo(before)
        report(f"the repair {one.name} is left out: {type(error).__name__}: {one_line(error)}")
        return
    one.is_on = True
    one.changed = patching.changed_since(before)


def _report_unsupported() -> None:
    installed = {"Paddle": PADDLE, "PaddleSeg": PADDLESEG}
    old = [f"{name} {version}" for name, version in installed.items() if version < OLDEST[name]]
    if old:
        supported = " and ".join(f"{name} >= {version}" for name, version in OLDEST.items())
        report(f"{' and '.join(old)}: older than the supported {supported}: all that works with them is registered")
