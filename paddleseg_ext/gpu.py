"""Whether the installed Paddle has kernels for this machine's GPUs, and the command that installs one that has."""

from __future__ import annotations

from collections.abc import Sequence

PADDLE = "3.3.1"
INDEX = "https://www.paddlepaddle.org.cn/packages/stable"
# PyPI's newest paddlepaddle-gpu, 2.6.2, cannot say for which cards it was built
PYPI_WHEEL = (61, 70, 75, 80, 86)


def install_line(capability: tuple[int, int]) -> str:
    """What installs a Paddle with kernels for cards of a compute capability: (9, 0) for an H100.

    Paddle's builds for CUDA 12.9 are those for Hopper and newer; that for 12.6 has the older cards.
    """
    cuda = "cu129" if capability >= (9, 0) else "cu126"
    return f"pip install paddlepaddle-gpu=={PADDLE} -i {INDEX}/{cuda}/"


def missing_kernels(capability: tuple[int, int], archs: Sequence[int]) -> str | None:
    """Why a wheel built for `archs` (86 is compute capability 8.6) has no kernels for a card, or None if it has.

    Code for 8.0 runs on 8.6 and 8.9, too, but not on 9.0: binaries are compatible upwards within a major number.
    """
    major, minor = capability
    if any(arch // 10 == major and arch % 10 <= minor for arch in archs):
        return None
    built = ", ".join(f"{arch // 10}.{arch % 10}" for arch in archs)
    return f"its compute capability is {major}.{minor}, and the installed Paddle is built for {built}"


def gpu_problems() -> list[tuple[str, str]]:
    """(problem, fix) of each GPU that the installed Paddle cannot use."""
    import paddle

    if not paddle.is_compiled_with_cuda():
        return []
    # since Paddle 3.1; a list of strings
    archs = [int(arch) for arch in getattr(paddle.version, "cuda_archs", tuple)()] or PYPI_WHEEL
    problems = []
    for device in range(paddle.device.cuda.device_count()):
        properties = paddle.device.cuda.get_device_properties(device)
        capability = (properties.major, properties.minor)
        reason = missing_kernels(capability, archs)
        if reason:
            problems.append((f"GPU {device} ({properties.name}): {reason}", install_line(capability)))
    return problems
