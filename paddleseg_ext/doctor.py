"""Examine the installation: what is there, what is active, what to do about each problem."""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import subprocess
import sys

DISTRIBUTIONS = ("numpy", "opencv-python", "Pillow", "protobuf", "visualdl")

# In a process of its own: a crash of Paddle's shall not end the examination.
TRAINING_STEP = """
import sys, paddleseg_ext, paddle, paddleseg.core
from paddleseg.cvlibs import manager
trainer = sys.modules["paddleseg.core.train"]
model = manager.MODELS["SANet"](num_classes=3, backbone=manager.BACKBONES["SANetEncoder_S"]())
names = ["OhemCrossEntropyLoss", "CrossEntropyLoss", "BoundaryBCELoss", "BoundaryAwareOhemCrossEntropyLoss"]
losses = {"types": [manager.LOSSES[name]() for name in names], "coef": [1, 0.4, 20, 1]}
optimizer = paddle.optimizer.SGD(0.01, parameters=model.parameters())
labels = paddle.arange(2 * 64 * 64).reshape([2, 64, 64]) // 700 % 3
total = sum(trainer.loss_computation(model(paddle.rand([2, 3, 64, 64])), labels, None, losses))
total.backward()
optimizer.step()
print("loss", float(total))
"""


class Examination:
    """Prints one line a fact and keeps what is wrong."""

    def __init__(self):
        self.problems = 0

    def fact(self, name: str, value: object) -> None:
        print(f"{name:<22} {value}")

    def problem(self, text: str, fix: str) -> None:
        self.problems += 1
        print(f"{'':<22} ! {text}: {fix}")


def examine() -> int:
    """Print the examination; returns 0 only when a tiny SANet trains one step."""
    report = Examination()
    report.fact("Python", f"{platform.python_version()} ({sys.executable})")
    if not _examine_paddle(report):
        return 1
    _examine_hook(report)
    trains = False
    if _examine_package(report):
        _advise(report)
        _examine_distributions(report)
        _examine_registration(report)
        trains = _examine_training_step(report)
    print(f"{report.problems} problem(s)")
    return 0 if trains else 1


def _examine_paddle(report: Examination) -> bool:
    if importlib.util.find_spec("paddle") is None:
        report.fact("Paddle", "not installed")
        report.problem("nothing runs without it", "pip install paddlepaddle (CPU) or paddlepaddle-gpu")
        return False
    if importlib.util.find_spec("paddleseg") is None:
        report.fact("PaddleSeg", "not installed")
        report.problem("nothing to extend", "pip install paddleseg")
        return False
    try:
        import paddle
        import paddleseg
    except Exception as error:
        report.fact("import paddleseg", f"{type(error).__name__}: {error}")
        report.problem("PaddleSeg cannot be imported", "see the versions that README.md lists; numpy<2 is needed")
        return False
    kind = f"CUDA, {paddle.device.cuda.device_count()} GPU(s)" if paddle.is_compiled_with_cuda() else "CPU, 0 GPU(s)"
    report.fact("Paddle", f"{paddle.__version__} ({kind})")
    report.fact("PaddleSeg", f"{paddleseg.__version__} ({os.path.dirname(paddleseg.__file__)})")
    return True


def _examine_hook(report: Examination) -> None:
    milliseconds = _startup_milliseconds()
    if milliseconds is None:
        report.fact("start-up hook", "not active")
        fix = "pip install paddleseg_ext into this environment, or import paddleseg_ext in the script"
        report.problem("unmodified scripts will not find the components", fix)
    elif os.environ.get("PADDLESEG_EXT_AUTOLOAD", "1") == "0":
        report.fact("start-up hook", "off")
        report.problem("PADDLESEG_EXT_AUTOLOAD=0 is set", "unset it, or import paddleseg_ext in the script")
    else:
        report.fact("start-up hook", f"active, {milliseconds:.2f} ms at interpreter start")


def _startup_milliseconds() -> float | None:
    """What the hook costs each new interpreter, by ``python -X importtime``; None if interpreters start without it."""
    start = subprocess.run([sys.executable, "-X", "importtime", "-c", "pass"], capture_output=True, text=True)
    lines = [line for line in start.stderr.splitlines() if line.endswith(" paddleseg_ext_autoload")]
    return int(lines[0].split("|")[1]) / 1000 if lines else None


def _examine_package(report: Examination) -> bool:
    try:
        import paddleseg_ext

        paddleseg_ext.register()
    except Exception as error:
        report.fact("import paddleseg_ext", f"{type(error).__name__}: {error}")
        report.problem("the components cannot be registered", "pip install paddleseg_ext again")
        return False
    report.fact("paddleseg_ext", f"{paddleseg_ext.__version__} ({os.path.dirname(paddleseg_ext.__file__)})")
    return True


def _advise(report: Examination) -> None:
    """What Paddle itself does not report: cards that it has no kernels for, and what could be faster."""
    from paddleseg_ext.cpu import mkl_advice
    from paddleseg_ext.gpu import gpu_problems

    for problem, fix in gpu_problems():
        report.problem(problem, fix)
    advice = mkl_advice()
    if advice:
        report.fact("speed", advice)


def _examine_distributions(report: Examination) -> None:
    import paddle

    from paddleseg_ext.versions import installed_versions

    versions = installed_versions(DISTRIBUTIONS)
    for distribution in DISTRIBUTIONS:
        report.fact(distribution, versions.get(distribution, "not installed under this name"))
    if int(versions.get("numpy", "1").split(".")[0]) >= 2:
        report.problem("PaddleSeg's opencv-python is built for NumPy 1", "pip install 'numpy<2'")
    if paddle.__version__.startswith("2.") and int(versions.get("protobuf", "3").split(".")[0]) >= 7:
        report.problem("Paddle 2.6 cannot train in several processes with protobuf 7", "pip install 'protobuf<7'")
    if importlib.util.find_spec("paddleseg.core.analyse") and not importlib.util.find_spec("skimage"):
        report.problem("PaddleSeg from git needs scikit-image", "pip install scikit-image")


def _examine_registration(report: Examination) -> None:
    from paddleseg.cvlibs import manager

    from paddleseg_ext.host.registry import REPAIRS, REPAIRS_SWITCH

    for kind in (manager.MODELS, manager.BACKBONES, manager.LOSSES, manager.DATASETS):
        names = [name for name, part in kind.components_dict.items() if part.__module__.startswith("paddleseg_ext.")]
        report.fact(f"registered {kind.name}", ", ".join(names))
    report.fact(REPAIRS_SWITCH, os.environ.get(REPAIRS_SWITCH) or "not set: needed (all in this package's tools)")
    for repair in REPAIRS.values():
        need = "needed" if repair.needed else "useful" if repair.useful else "not for these versions"
        state = "on" if repair.is_on else "off"
        report.fact("repair", f"{state:<3} {repair.name} ({need}): {repair.reason}; {repair.upstream}")


def _examine_training_step(report: Examination) -> bool:
    step = subprocess.run([sys.executable, "-c", TRAINING_STEP], capture_output=True, text=True)
    if step.returncode == 0:
        report.fact("training step", step.stdout.strip().splitlines()[-1])
        return True
    last = ([line for line in step.stderr.splitlines() if line.strip()] or [f"exit status {step.returncode}"])[-1]
    report.fact("training step", f"failed: {last.strip()}")
    report.problem("a tiny SANet does not train", "fix the problems above, then run doctor again")
    return False


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    sys.exit(examine())
