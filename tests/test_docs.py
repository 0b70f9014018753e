"""The documents: their commands are ones the tools take, their Python runs, and those in Chinese say the same."""

import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest
import yaml

from paddleseg_ext import cli

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "configs/**/*.md")
    for path in ROOT.glob(pattern)
    if path.name not in ("CHANGELOG.md",)
)
CHINESE = [page for page in PAGES if page.stem.endswith("_CN")]
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.M | re.S)


def blocks(path, *languages):
    """The text of the blocks in these languages ('' is one without)."""
    return [text for _, language, text in BLOCK.findall(path.read_text(encoding="utf-8")) if language in languages]


def commands(path):
    """The calls of this package's tools in a page, in blocks and in `...`: (tool, flags)."""
    text = path.read_text(encoding="utf-8")
    lines = "\n".join(blocks(path, "", "bash", "sh", "shell")).replace("\\\n", " ").splitlines()
    lines += [span.replace("\n", " ") for span in re.findall(r"`([^`]+)`", BLOCK.sub("", text))]
    for line in lines:
        found = re.search(r"(?:\bpaddleseg-ext|\bpython(?: -m paddle\.distributed\.launch .*?)? tools/)", line)
        if not found:
            continue
        # "..." and [optional] are for readers, $(...) is a path
        call = re.sub(r"\$\([^)]*\)|\.\.\.", "x", line[found.start() :].split("#")[0].split(" | ")[0])
        words = shlex.split(call)
        if words[-1] == "x" and not words[-2].startswith("-"):  # further flags
            words.pop()
        if words[0] == "python":
            script = next(word for word in words if word.startswith("tools/"))
            name, flags = script.removeprefix("tools/").removesuffix(".py"), words[words.index(script) + 1 :]
        else:
            name, flags = (words + [""])[1], words[2:]
        if name not in ("", "configs", "doctor", "TOOL", "--help") and flags:
            yield name, flags


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_are_understood(page, monkeypatch):
    for name, flags in commands(page):
        assert name in cli.scripts(), f"{page}: there is no tool {name}"
        monkeypatch.setattr(sys, "argv", [name, *flags])
        try:
            runpy.run_path(str(cli.scripts()[name]))["parse_args"]()
        except SystemExit as end:
            assert end.code == 0, f"{page}: {name} {' '.join(flags)}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_yamls_that_commands_name_are_there(page):
    for path in re.findall(r"\b(?:configs|docs|tools|tests)/[\w./-]+\.(?:yml|py|md|sh)\b", page.read_text()):
        assert Path(path).stem.isupper() or (ROOT / path).is_file() or (page.parent / path).is_file(), f"{page}: {path}"


WITH_PYTHON = [path for path in PAGES if blocks(path, "python") and path not in CHINESE]  # whose code is the other's


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda path: path.stem)
def test_python_runs(page):
    """The blocks of a page, one after the other."""
    exec(compile("\n".join(blocks(page, "python")), str(page), "exec"), {"__name__": page.stem})


@pytest.mark.parametrize("page", [path for path in PAGES if blocks(path, "yaml")], ids=lambda path: path.stem)
def test_yaml_is_yaml(page):
    for text in blocks(page, "yaml"):
        assert isinstance(yaml.safe_load(text), dict)


def facts(path):
    """What must not differ between languages: blocks but for their comments, figures and links."""
    text = path.read_text(encoding="utf-8")
    prose = BLOCK.sub("", text)
    code = [line.split("#")[0].rstrip() for block in BLOCK.findall(text) for line in block[2].splitlines()]
    spans = sorted(re.findall(r"`([^`]+)`", prose))
    targets = {target.replace("_CN.md", ".md") for target in re.findall(r"\]\(([^)]+)\)", prose)}
    links = sorted(targets - {path.name.replace("_CN", "")})
    return {"code": [line for line in code if line], "spans": spans, "links": links, "figures": figures(prose)}


def figures(prose):
    """Numbers with at least two digits or a decimal point, outside of code and links."""
    plain = re.sub(r"`[^`]+`|\]\([^)]+\)", " ", prose)
    return sorted(re.findall(r"(?<![\w.])\d+(?:\.\d+)+|(?<![\w.])\d{2,}(?!\w|\.\d)|(?<![\w.])\d\.\d+", plain))


@pytest.mark.parametrize("what", ["code", "spans", "links", "figures"])
@pytest.mark.parametrize("page", CHINESE, ids=lambda path: path.stem)
def test_both_languages_say_the_same(page, what):
    english = page.with_name(page.name.replace("_CN", ""))
    assert facts(english)[what] == facts(page)[what]


def test_facts_are_found(tmp_path):
    (tmp_path / "a.md").write_text("# A\nIt takes 377 ms, `make x`, see [b](b.md).\n\n```\nrun --it 3  # so\n```\n")
    expected = {"code": ["run --it 3"], "spans": ["make x"], "links": ["b.md"], "figures": ["377"]}
    assert facts(tmp_path / "a.md") == expected


def test_the_version_is_the_same_everywhere():
    version = re.search(r'^__version__ = "(.+)"', (ROOT / "paddleseg_ext/__init__.py").read_text(), re.M)[1]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()
