"""The choice of MKL's kernels: on AMD processors with AVX2 alone, and never over a value that is set."""

import argparse

import pytest

from paddleseg_ext import cpu
from paddleseg_ext.command import run

CPUINFO = "processor\t: 0\nvendor_id\t: {vendor}\nmodel name\t: x: y\nflags\t\t: fpu sse2 {flags}\n\nprocessor\t: 1\n"


@pytest.mark.parametrize(
    "vendor, flags, machine, expected",
    [
        ("AuthenticAMD", "avx avx2 bmi1", "x86_64", True),
        ("AuthenticAMD", "avx", "x86_64", False),
        ("GenuineIntel", "avx avx2", "x86_64", False),
        ("AuthenticAMD", "avx2", "aarch64", False),
    ],
)
def test_processor(vendor, flags, machine, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(cpu.platform, "machine", lambda: machine)
    (tmp_path / "cpuinfo").write_text(CPUINFO.format(vendor=vendor, flags=flags))
    assert cpu.is_amd_with_avx2(str(tmp_path / "cpuinfo")) is expected


def test_no_cpuinfo(tmp_path):
    assert not cpu.is_amd_with_avx2(str(tmp_path / "none"))


@pytest.mark.parametrize("amd", [True, False])
@pytest.mark.parametrize("given", [None, "4"])
def test_choice(amd, given, monkeypatch):
    monkeypatch.setattr(cpu, "is_amd_with_avx2", lambda: amd)
    monkeypatch.setenv(cpu.VARIABLE, "to be restored")
    monkeypatch.delenv(cpu.VARIABLE) if given is None else monkeypatch.setenv(cpu.VARIABLE, given)
    monkeypatch.setattr(cpu, "processor", lambda: {"vendor_id": "another"})
    needed = amd and given is None
    assert (cpu.mkl_advice() is not None) is needed
    assert cpu.choose_mkl_path() is needed
    assert cpu.os.environ.get(cpu.VARIABLE) == (cpu.AVX2 if needed else given)
    assert cpu.mkl_advice() is None or not amd


@pytest.mark.parametrize("vendor, given, told", [("GenuineIntel", "5", True), ("GenuineIntel", None, False)])
def test_what_slows_down_other_processors(vendor, given, told, monkeypatch):
    monkeypatch.setattr(cpu, "processor", lambda *_: {"vendor_id": vendor, "flags": "avx2"})
    monkeypatch.setenv(cpu.VARIABLE, "5")
    monkeypatch.delenv(cpu.VARIABLE) if given is None else None
    assert (cpu.mkl_advice() is not None) is told


def test_every_tool_chooses(monkeypatch):
    monkeypatch.setattr(cpu, "is_amd_with_avx2", lambda: True)
    monkeypatch.setenv(cpu.VARIABLE, "to be restored")
    monkeypatch.delenv(cpu.VARIABLE)
    seen = []
    with pytest.raises(SystemExit):
        run(lambda args: seen.append(cpu.os.environ.get(cpu.VARIABLE)), argparse.Namespace)
    assert seen == [cpu.AVX2]
