from pathlib import Path

import pytest

import paddleseg_ext

paddleseg_ext.register()  # before anything imports paddle: it binds zlib first and repairs PaddleSeg

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared():
    """The folder with the reference numbers and CamVid; strangers don't have it, CI does."""
    if not SHARED.is_dir():
        pytest.skip("needs the reference data in ../shared")
    return SHARED
