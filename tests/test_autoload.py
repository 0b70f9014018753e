"""The start-up hook, in interpreters of its own."""

import os
import subprocess
import sys
import tempfile

import pytest

COMPONENTS = "'SANet' in manager.MODELS.components_dict, 'BoundaryBCELoss' in manager.LOSSES.components_dict"
SCRIPT = f"from paddleseg.cvlibs import manager; print({COMPONENTS})"


def run(code, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        cwd=tempfile.gettempdir(),  # the checkout itself must not be found by its place
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_a_script_that_knows_only_paddleseg_finds_the_components():
    assert run(SCRIPT).stdout.split("\n")[-2] == "True True"


def test_the_switch_leaves_paddleseg_alone():
    # Paddle 2.6 needs zlib loaded first, which the hook else does
    assert run(f"import zlib; {SCRIPT}", PADDLESEG_EXT_AUTOLOAD="0").stdout.split("\n")[-2] == "False False"


@pytest.mark.slow
def test_importing_the_package_waits_for_paddleseg():
    code = f"import sys, paddleseg_ext; print('paddle' in sys.modules); {SCRIPT}"
    for switch in "01":
        lines = run(code, PADDLESEG_EXT_AUTOLOAD=switch).stdout.split("\n")
        assert (lines[0], lines[-2]) == ("False", "True True")


FIRST = ["models.sanet", "layers.attention", "losses.boundary", "datasets.gtav", "boundary"]
EACH_FIRST = f"""
import importlib, os, sys, zlib
import paddle  # once, for all

for first in {FIRST}:
    sys.stdout.flush()
    if os.fork() == 0:
        importlib.import_module("paddleseg_ext." + first)
        from paddleseg.cvlibs import manager
        from paddleseg_ext import *
        print(first, {COMPONENTS}, SANet.__name__, flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.fixture(scope="module")
def each_first():
    return run(EACH_FIRST, PADDLESEG_EXT_AUTOLOAD="0")


@pytest.mark.slow
@pytest.mark.parametrize("first", FIRST)
def test_any_part_of_the_package_may_be_imported_first(first, each_first):
    assert f"{first} True True SANet" in each_first.stdout.splitlines()
    assert "not registered" not in each_first.stderr and "left out" not in each_first.stderr


def test_both_files_that_call_the_hook_are_installed_and_install_it_once():
    """Python 3.15 reads the .start file (PEP 829); here its entry point is called by hand after the .pth file's."""
    code = """
import importlib.util, os, pkgutil, sys
folder = os.path.dirname(importlib.util.find_spec("paddleseg_ext_autoload").origin)
(line,) = open(os.path.join(folder, "paddleseg_ext_autoload.pth")).read().splitlines()
(entry,) = open(os.path.join(folder, "paddleseg_ext_autoload.start")).read().splitlines()
names = [type(finder).__name__ for finder in sys.meta_path]
exec(line)
pkgutil.resolve_name(entry)()
again = [type(finder).__name__ for finder in sys.meta_path]
print(names.count("PaddleSegFinder"), again.count("PaddleSegFinder"))
"""
    assert run(code).stdout == "1 1\n"


def test_a_second_import_of_paddleseg_registers_where_the_first_failed():
    code = """
import sys
sys.modules["cv2"] = None
try:
    import paddleseg
except ImportError:
    del sys.modules["cv2"]
import paddleseg
from paddleseg.cvlibs import manager
print("SANet" in manager.MODELS.components_dict)
"""
    assert run(code).stdout.splitlines()[-1] == "True"


def test_start_up_imports_nothing_heavy():
    loaded = run("import sys; print(*sys.modules)").stdout.split()
    assert "paddleseg_ext_autoload" in loaded
    assert not {"paddle", "numpy", "paddleseg", "paddleseg_ext", "zlib"} & set(loaded)


def test_an_error_of_ours_does_not_reach_the_importing_program(tmp_path):
    broken = tmp_path / "paddleseg_ext"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise RuntimeError('broken on purpose')")
    done = run("import paddleseg; print('alive')", PYTHONPATH=str(tmp_path))
    assert done.stdout.split("\n")[-2] == "alive"
    assert "paddleseg_ext: its components are not registered: RuntimeError: broken on purpose" in done.stderr


@pytest.mark.slow
def test_data_loader_workers_find_the_components():
    code = f"""
import paddle
from paddleseg.cvlibs import manager

class Probe(paddle.io.Dataset):
    def __len__(self):
        return 1
    def __getitem__(self, index):
        import paddleseg.models
        return int(all(({COMPONENTS})))

for batch in paddle.io.DataLoader(Probe(), num_workers=1, use_shared_memory=False):
    print(int(batch))
"""
    assert run(code).stdout.split("\n")[-2] == "1"
