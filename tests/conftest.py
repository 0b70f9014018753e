import os
from collections import Counter
from pathlib import Path

import pytest

os.environ.setdefault("PADDLESEG_EXT_REPAIRS", "all")  # the tests are about tools, which have all repairs on
import paddleseg_ext

paddleseg_ext.register()  # before anything imports paddle: it binds zlib first

pytest.register_assert_rewrite("network_tester")

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_collection_modifyitems(items):
    """Files with many slow tests first, so that no process works on the last of them while the others have none."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


@pytest.fixture
def logged(monkeypatch):
    """The lines that go to PaddleSeg's log, which is a print in 2.8 and a logger of its own since."""
    from paddleseg.utils import logger

    lines = []
    for level in ("info", "warning"):
        monkeypatch.setattr(logger, level, lines.append)
    return lines


@pytest.fixture(scope="session")
def shared():
    """The folder with the reference numbers and CamVid; strangers don't have it, CI does."""
    if not SHARED.is_dir():
        pytest.skip("needs the reference data in ../shared")
    return SHARED
