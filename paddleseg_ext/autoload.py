"""Lets unmodified PaddleSeg scripts find this package.

The installation copies this file to the top of site-packages as ``paddleseg_ext_autoload.py``. At interpreter start
one line calls `install`: that of the ``.start`` file beside it (Python 3.15 and later, PEP 829), or else that of the
``.pth`` file. It then waits for ``import paddleseg`` and, right after it, lets ``paddleseg_ext`` register every
component. Only `sys` and `os` may be imported here at start-up: every Python process of the environment pays for
it. ``PADDLESEG_EXT_AUTOLOAD=0`` switches it off.
"""

import os
import sys

_SWITCH = "PADDLESEG_EXT_AUTOLOAD"


class PaddleSegFinder:
    """A meta path finder that finds nothing itself: it extends the loading of ``paddleseg``."""

    def find_spec(self, name, path=None, target=None):
        if name in ("paddle", "paddleseg"):
            # Paddle 2.6's libpaddle exports zlib's symbols; whoever loads zlib after it gets the wrong ones and
            # PNG reading fails or crashes. Loaded first, the right ones stay bound.
            import zlib  # noqa: F401
        if name == "paddleseg":
            return self._registering_spec(name, path, target)
        return None

    def _registering_spec(self, name, path, target):
        for finder in sys.meta_path:
            find_spec = getattr(finder, "find_spec", None)
            spec = find_spec(name, path, target) if find_spec and finder is not self else None
            if spec is not None:
                break
        else:
            return None
        exec_module = getattr(spec.loader, "exec_module", None)
        if exec_module is None:
            return spec

        def exec_and_register(module):
            if self in sys.meta_path:  # not before: a spec may be looked up without being loaded
                sys.meta_path.remove(self)
            try:
                exec_module(module)
            except BaseException:  # the import may be tried again
                sys.meta_path.insert(0, self)
                raise
            register()

        spec.loader.exec_module = exec_and_register
        return spec


def register():
    """Register every component; an error of ours becomes one line and does not reach the importing program."""
    try:
        import paddleseg_ext

        paddleseg_ext.register()
    except Exception as error:
        print(
            f"paddleseg_ext: its components are not registered: {type(error).__name__}: {error} "
            "(run `paddleseg-ext doctor`)",
            file=sys.stderr,
        )


def wait_for_paddleseg():
    """Register every component once PaddleSeg is imported; does nothing if it is, or if this was called before."""
    waiting = any(type(finder).__name__ == "PaddleSegFinder" for finder in sys.meta_path)
    if "paddleseg" not in sys.modules and not waiting:
        sys.meta_path.insert(0, PaddleSegFinder())


def install():
    """At interpreter start: wait for PaddleSeg unless that is switched off."""
    if os.environ.get(_SWITCH, "1") != "0":
        wait_for_paddleseg()


def command_line():
    """The console script: runs cli.py as a file, since `doctor` must work where the package cannot be imported."""
    import runpy
    from importlib.util import find_spec

    spec = find_spec("paddleseg_ext")
    if spec is None or spec.origin is None:  # of a checkout that was moved
        sys.exit("error: the package paddleseg_ext is missing from this environment: install it again")
    runpy.run_path(os.path.join(os.path.dirname(spec.origin), "cli.py"), run_name="__main__")
