"""The comparison of cards with wheels, with cards that are not there."""

from types import SimpleNamespace

import paddle
import pytest

from paddleseg_ext import gpu


@pytest.mark.parametrize(
    "capability, archs, fits",
    [
        ((8, 6), gpu.PYPI_WHEEL, True),
        ((8, 9), gpu.PYPI_WHEEL, True),  # Ada runs Ampere's
        ((6, 0), gpu.PYPI_WHEEL, False),  # P100: 6.1's do not run on 6.0
        ((9, 0), gpu.PYPI_WHEEL, False),
        ((12, 0), gpu.PYPI_WHEEL, False),
        ((12, 0), (80, 90, 100, 120), True),
        ((10, 3), (80, 90, 100, 120), True),
    ],
)
def test_kernels(capability, archs, fits):
    assert (gpu.missing_kernels(capability, archs) is None) is fits


def test_install_line():
    assert gpu.install_line((8, 6)).endswith("stable/cu126/")
    assert gpu.install_line((9, 0)).endswith("stable/cu129/") and gpu.install_line((12, 0)).endswith("stable/cu129/")


def test_without_cuda(monkeypatch):
    monkeypatch.setattr(paddle, "is_compiled_with_cuda", lambda: False)
    assert gpu.gpu_problems() == []


@pytest.mark.parametrize("archs", [None, ["61", "70", "75", "80", "86"]])
def test_the_card_that_does_not_fit_is_named(archs, monkeypatch):
    cards = [SimpleNamespace(name="RTX 3060", major=8, minor=6), SimpleNamespace(name="H100", major=9, minor=0)]
    monkeypatch.setattr(paddle, "is_compiled_with_cuda", lambda: True)
    monkeypatch.setattr(paddle.device.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(paddle.device.cuda, "get_device_properties", cards.__getitem__)
    monkeypatch.delattr(paddle.version, "cuda_archs", raising=False)
    if archs:
        monkeypatch.setattr(paddle.version, "cuda_archs", lambda: archs, raising=False)
    ((problem, fix),) = gpu.gpu_problems()
    assert problem.startswith("GPU 1 (H100): its compute capability is 9.0") and "6.1, 7.0, 7.5, 8.0, 8.6" in problem
    assert fix == gpu.install_line((9, 0))
