"""The API pages: each public name has an entry with its shapes, its errors and its source."""

import ast
import importlib
import inspect
import re
import typing
from pathlib import Path

import pytest
from paddle import nn
from paddleseg.cvlibs import manager

import paddleseg_ext
from paddleseg_ext import host

ROOT = Path(__file__).resolve().parents[1]
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs/api").glob("*.md")}
MODULES = sorted(set(re.findall(r"^::: (\S+)$", "\n".join(PAGES.values()), re.M)))
MANAGERS = (manager.MODELS, manager.BACKBONES, manager.LOSSES, manager.DATASETS, manager.TRANSFORMS)
ERRORS = ("ValueError", "UserError", "FileNotFoundError")

host.apply("all")  # registers a transform
REGISTERED = {
    name: part
    for one in MANAGERS
    for name, part in one.components_dict.items()
    if part.__module__.startswith("paddleseg_ext.")
}
PUBLIC = {**{name: getattr(paddleseg_ext, name) for name in paddleseg_ext.__all__}, **REGISTERED}


def entry(part):
    """All that the pages say about a class or a function: its own, its bases' and its module's words."""
    built = None if inspect.isclass(part) else typing.get_type_hints(part).get("return")
    parts = [part] if built is None or not hasattr(built, "__mro__") else [part, built]
    texts = [inspect.getmodule(part).__doc__]
    for one in parts:
        for base in one.__mro__ if inspect.isclass(one) else [one]:
            if base.__module__.startswith("paddleseg_ext."):
                texts += [base.__doc__, *(value.__doc__ for value in vars(base).values() if inspect.isfunction(value))]
    return "\n".join(filter(None, texts))


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_on_a_page_under_its_own_words(name):
    part = PUBLIC[name]
    assert part.__module__ in MODULES, f"docs/api needs a line `::: {part.__module__}`"
    assert vars(part).get("__doc__") if inspect.isclass(part) else part.__doc__


def is_computed(part):
    """Whether images or maps go through it."""
    return not inspect.isclass(part) or issubclass(part, nn.Layer)


@pytest.mark.parametrize("name", [name for name, part in PUBLIC.items() if is_computed(part)])
def test_shapes_are_given(name):
    assert re.search(r"\(N, [^)]+\)", entry(PUBLIC[name]))


@pytest.mark.parametrize("name", [name for name in PUBLIC if name != "Predictor"])
def test_the_source_is_given(name):
    assert re.search(r"https?://|\bet al\.|PaddleSeg's `\w+`", entry(PUBLIC[name]))


def raised(tree):
    """{public function or class of a module: the errors that it, or what it calls there, raises}."""
    bodies = {node.name: node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    checks = {name: {"ValueError"} for name in ("check_shapes", "integer_labels", "check_class_logits", "check_weight")}

    def errors_of(name, seen):
        if name in seen or name not in bodies:
            return checks.get(name, set())
        found = set()
        for node in ast.walk(bodies[name]):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                found.add(getattr(node.exc.func, "id", None))
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                called = node.func.id
                if not isinstance(bodies.get(called), ast.ClassDef):  # whose entry names its own errors
                    found |= errors_of(called, {*seen, name})
        return found & set(ERRORS)

    return {name: errors_of(name, set()) for name in bodies if not name.startswith("_")}


@pytest.mark.parametrize("module", MODULES)
def test_errors_are_named(module):
    module = importlib.import_module(module)
    tree = ast.parse(inspect.getsource(module))
    for name, errors in raised(tree).items():
        part = getattr(module, name)
        methods = [value.__doc__ for value in vars(part).values() if inspect.isfunction(value)]
        text = "\n".join(filter(None, [part.__doc__, *methods]))
        for error in errors:
            assert re.search(rf"\bRaises\b.*\b{error}\b", text, re.S | re.I), (
                f"{name} raises {error}: its docstring says nothing"
            )


def test_raised_errors_are_found():
    tree = ast.parse(
        "def f(x):\n    g(x)\n\ndef g(x):\n    raise ValueError('x')\n\n"
        "class C:\n    def m(self):\n        check_shapes(1, 2)\n\ndef _h():\n    raise UserError('y')\n"
    )
    assert raised(tree) == {"f": {"ValueError"}, "g": {"ValueError"}, "C": {"ValueError"}}
