"""`python -m paddleseg_ext SCRIPT`, without the start-up hook."""

import os
import subprocess
import sys

import pytest

from paddleseg_ext.command import REPAIRS_SWITCH

SCRIPT = """
import subprocess, sys
from paddleseg.cvlibs import manager
from paddleseg_ext.host.registry import REPAIRS

def told():
    on = [one.name for one in REPAIRS.values() if one.is_on]
    print(__name__, sys.argv[1:], "SANet" in manager.MODELS.components_dict, ",".join(on), flush=True)

if __name__ == "__main__":
    told()
    if "child" not in sys.argv:
        subprocess.run([sys.executable, __file__, "child"], check=True)
"""


def run(folder, *flags, **environment):
    """What is printed, with the hook switched off in the environment."""
    done = subprocess.run(
        [sys.executable, "-m", "paddleseg_ext", *map(str, flags)],
        capture_output=True,
        text=True,
        cwd=folder,
        env={
            **{k: v for k, v in os.environ.items() if k != REPAIRS_SWITCH},
            "PADDLESEG_EXT_AUTOLOAD": "0",
            **environment,
        },
        timeout=300,
    )
    return done.returncode, done.stdout.splitlines(), done.stderr


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    return path


def test_the_script_and_its_children_have_components_and_policy(script, tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text("print('the next sitecustomize')")
    names = "dice_loss_on_its_own_labels,bce_without_edges"
    status, lines, errors = run(
        tmp_path, "--repairs", names, script, "--repairs", "1", PYTHONPATH=str(tmp_path / "site")
    )
    assert status == 0, errors
    assert lines == [
        "the next sitecustomize",
        f"__main__ ['--repairs', '1'] True {names}",
        "the next sitecustomize",
        f"__main__ ['child'] True {names}",
    ]


@pytest.mark.slow
def test_none_is_none_in_modules_too(script, tmp_path):
    status, lines, errors = run(tmp_path, "--repairs", "none", "-m", "script", "child")
    assert (status, lines) == (0, ["__main__ ['child'] True "]), errors


@pytest.mark.slow
def test_the_launcher_of_several_processes(script, tmp_path):
    launch = ("-m", "paddle.distributed.launch", "--nproc_per_node", "2", "--log_dir", "log", script, "child")
    status, _, errors = run(tmp_path, "--repairs", "bce_without_edges", *launch)
    assert status == 0, errors
    for rank in range(2):
        assert "__main__ ['child'] True bce_without_edges" in (tmp_path / f"log/workerlog.{rank}").read_text()


@pytest.mark.parametrize(
    "flags, told",
    [
        ((), "give a script, or -m and a module"),
        (("gone.py",), "gone.py: there is no such file"),
        (("-m", "gone"), "-m gone: there is no such module"),
        (("-m", "gone.part"), "-m gone.part: there is no such module"),
    ],
)
def test_wrong_flags_are_one_line(flags, told, tmp_path):
    status, _, errors = run(tmp_path, *flags)
    assert status == 2 and errors.splitlines()[-1] == f"python -m paddleseg_ext: error: {told}"
