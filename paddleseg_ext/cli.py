"""``paddleseg-ext``: runs any tool, prints where the YAMLs are, examines the installation.

Run as a file by the console script (see `autoload.command_line`), so that ``--help``, ``configs`` and ``doctor`` need
neither Paddle nor PaddleSeg: nothing of the package may be imported here.
"""

import ast
import difflib
import sys
import types
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def resource_dir(name: str) -> Path:
    """The folder `name` (``tools`` or ``configs``): inside the package when installed, beside it in a checkout."""
    installed = PACKAGE / name
    return installed if installed.is_dir() else PACKAGE.parent / name


def scripts() -> dict:
    """Every script's name and file."""
    return {path.stem: path for path in [PACKAGE / "doctor.py", *sorted(resource_dir("tools").glob("*.py"))]}


def usage() -> str:
    rows = [("configs", "Print the folder of the YAMLs.")]
    for name, path in scripts().items():
        summary = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").splitlines()
        rows.append((name, summary[0] if summary else ""))
    width = max(len(name) for name, _ in rows)
    lines = [f"  {name:<{width}}  {text}" for name, text in rows]
    return "usage: paddleseg-ext TOOL [flags]   (TOOL --help lists its flags)\n\n" + "\n".join(lines)


def run_script(path: Path, program: str, arguments: list) -> None:
    """Run a file as Python does; unlike with `runpy.run_path`, messages and hints call it `program`."""
    module = types.ModuleType("__main__")
    module.__file__ = str(path)
    sys.modules["__main__"] = module
    sys.argv = [program, *arguments]
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), module.__dict__)


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help"):
        print(usage())
    elif name == "configs":
        print(resource_dir("configs"))
    elif name in scripts():
        run_script(scripts()[name], f"paddleseg-ext {name}", sys.argv[2:])
    else:
        close = difflib.get_close_matches(name, scripts(), n=1)
        fix = f"did you mean {close[0]!r}?" if close else "paddleseg-ext --help lists them"
        print(f"error: there is no tool {name!r}; {fix}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
