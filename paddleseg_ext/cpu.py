"""Lets the MKL that comes with Paddle use AVX2 on AMD processors.

MKL chooses its kernels by the processor's vendor: on AMD it takes SSE2 ones, though the processor has AVX2.
``MKL_DEBUG_CPU_TYPE=5`` chooses the AVX2 kernels by hand. MKL reads it at its first call, so that it must be set before
Paddle computes anything. Measured in ``docs/speed.md``.
"""

from __future__ import annotations

import os
import platform

VARIABLE = "MKL_DEBUG_CPU_TYPE"
AVX2 = "5"


def choose_mkl_path() -> bool:
    """Set `VARIABLE` where it helps: on an AMD processor with AVX2, unless it is set already.

    Returns:
        True if this call set it.
    """
    if VARIABLE in os.environ or not is_amd_with_avx2():
        return False
    os.environ[VARIABLE] = AVX2
    return True


def mkl_advice() -> str | None:
    """What whoever runs PaddleSeg's own scripts should set or unset; None where that changes nothing."""
    if VARIABLE in os.environ and processor().get("vendor_id") == "GenuineIntel":
        return f"unset {VARIABLE}: on this Intel processor it keeps MKL from faster kernels"
    if VARIABLE in os.environ or not is_amd_with_avx2():
        return None
    return f"export {VARIABLE}={AVX2} before PaddleSeg's own scripts: Paddle's MKL then uses AVX2 on this AMD processor"


def is_amd_with_avx2(cpuinfo: str = "/proc/cpuinfo") -> bool:
    """Whether this is a Linux machine with an AMD processor that has AVX2."""
    about = processor(cpuinfo)
    is_amd = platform.machine() == "x86_64" and about.get("vendor_id") == "AuthenticAMD"
    return is_amd and "avx2" in about.get("flags", "").split()


def processor(cpuinfo: str = "/proc/cpuinfo") -> dict[str, str]:
    """What Linux says about the first processor ("vendor_id", "model name", "flags", ...); nothing elsewhere."""
    try:
        with open(cpuinfo, encoding="utf-8", errors="replace") as file:
            lines = file.read().split("\n\n")[0].splitlines()
    except OSError:
        return {}
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
