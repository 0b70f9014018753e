import os
from pathlib import Path

import pytest

# before anything imports paddle: the package binds zlib first; its tests are about tools, which have all repairs on
os.environ.setdefault("PADDLESEG_EXT_REPAIRS", "all")
import paddleseg_ext  # noqa: F401

SHARED = Path(__file__).resolve().parents[2] / "shared"


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
