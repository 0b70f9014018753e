"""Everything that changes PaddleSeg or Paddle from outside: an idea a file, and the policy that says what is on.

Only entry points may import this: the package itself, the start-up hook, `python -m paddleseg_ext`, tools, `doctor`.
"""

from __future__ import annotations

from importlib import import_module

from paddleseg_ext.host import registry

FILES = ("paddleseg_2_8", "losses", "stock_models", "evaluation", "checkpoints", "data_loader", "inference", "trainer")


def apply(policy: str | None = None) -> list[registry.Repair]:
    """Switch on the repairs that `policy` (default: ``PADDLESEG_EXT_REPAIRS``) names; returns all that are on.

    Nothing that fails here reaches the caller: it is reported in one line, and the rest goes on.
    """
    for name in FILES:
        try:
            import_module(f"{__name__}.{name}")
        except Exception as error:  # a PaddleSeg or Paddle that lacks what the file is about
            registry.report(f"the repairs of host/{name}.py are left out: {type(error).__name__}: {error}")
    return registry.apply(policy)
