"""Examine the installation: what is there, what is active, what to do about each problem."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import subprocess
import sys

DISTRIBUTIONS = ("numpy", "opencv-python", "Pillow", "protobuf", "visualdl")

# In a process of its own: a crash of Paddle's shall not end the examination.
TRAINING_STEP = """
import zlib, paddle, paddleseg
from paddleseg.cvlibs import manager
from paddleseg.core.val import evaluate
import sys
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
    told = Examination()
    told.fact("Python", f"{platform.python_version()} ({sys.executable})")
    if not _examine_paddle(told):
        return 1
    _examine_distributions(told)
    _examine_registration(told)
    trains = _examine_training_step(told)
    print(f"{told.problems} problem(s)")
    return 0 if trains else 1


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _examine_paddle(told: Examination) -> bool:
    if importlib.util.find_spec("paddle") is None:
        told.fact("Paddle", "not installed")
        told.problem("nothing runs without it", "pip install paddlepaddle (CPU) or paddlepaddle-gpu")
        return False
    if importlib.util.find_spec("paddleseg") is None:
        told.fact("PaddleSeg", "not installed")
        told.problem("nothing to extend", "pip install paddleseg")
        return False
    try:
        import paddle
        import paddleseg
    except Exception as error:
        told.fact("import paddleseg", f"{type(error).__name__}: {error}")
        told.problem("PaddleSeg cannot be imported", "see the versions that README.md lists; numpy<2 is needed")
        return False
    gpus = paddle.device.cuda.device_count() if paddle.is_compiled_with_cuda() else 0
    told.fact("Paddle", f"{paddle.__version__} ({'CUDA' if paddle.is_compiled_with_cuda() else 'CPU'}, {gpus} GPU(s))")
    told.fact("PaddleSeg", f"{paddleseg.__version__} ({os.path.dirname(paddleseg.__file__)})")
    _advise(told)
    return True


def _advise(told: Examination) -> None:
    """What Paddle would not tell: cards that it has no kernels for, and what could be faster."""
    from paddleseg_ext.cpu import mkl_advice
    from paddleseg_ext.gpu import gpu_problems

    for problem, fix in gpu_problems():
        told.problem(problem, fix)
    advice = mkl_advice()
    if advice:
        told.fact("speed", advice)


def _examine_distributions(told: Examination) -> None:
    import paddle

    for distribution in DISTRIBUTIONS:
        told.fact(distribution, _version(distribution) or "not installed under this name")
    if int((_version("numpy") or "1").split(".")[0]) >= 2:
        told.problem("PaddleSeg's opencv-python is built for NumPy 1", "pip install 'numpy<2'")
    if paddle.__version__.startswith("2.") and int((_version("protobuf") or "3").split(".")[0]) >= 7:
        told.problem("Paddle 2.6 cannot train in several processes with protobuf 7", "pip install 'protobuf<7'")
    if importlib.util.find_spec("paddleseg.core.analyse") and not importlib.util.find_spec("skimage"):
        told.problem("PaddleSeg from git needs scikit-image", "pip install scikit-image")


def _examine_registration(told: Examination) -> None:
    from paddleseg.cvlibs import manager

    import paddleseg_ext
    from paddleseg_ext.host.registry import REPAIRS, REPAIRS_SWITCH

    told.fact("paddleseg_ext", f"{paddleseg_ext.__version__} ({os.path.dirname(paddleseg_ext.__file__)})")
    if "paddleseg_ext_autoload" not in sys.modules:
        told.fact("start-up hook", "not installed")
        told.problem("unmodified scripts will not find the components", "pip install paddleseg_ext again")
    elif os.environ.get("PADDLESEG_EXT_AUTOLOAD", "1") == "0":
        told.fact("start-up hook", "off")
        told.problem("PADDLESEG_EXT_AUTOLOAD=0 is set", "unset it, or import paddleseg_ext in the script")
    else:
        told.fact("start-up hook", f"active, {_startup_milliseconds():.2f} ms at interpreter start")
    for kind in (manager.MODELS, manager.BACKBONES, manager.LOSSES, manager.DATASETS):
        names = [name for name, part in kind.components_dict.items() if part.__module__.startswith("paddleseg_ext.")]
        told.fact(f"registered {kind.name}", ", ".join(names))
    told.fact(REPAIRS_SWITCH, os.environ.get(REPAIRS_SWITCH) or "not set: needed (all in this package's tools)")
    for repair in REPAIRS.values():
        need = "needed" if repair.needed else "useful" if repair.useful else "not for these versions"
        state = "on" if repair.is_on else "off"
        told.fact("repair", f"{state:<3} {repair.name} ({need}): {repair.reason}; {repair.upstream}")


def _startup_milliseconds() -> float:
    """What the hook costs each new interpreter, by ``python -X importtime``."""
    start = subprocess.run([sys.executable, "-X", "importtime", "-c", "pass"], capture_output=True, text=True)
    (line,) = [line for line in start.stderr.splitlines() if line.endswith(" paddleseg_ext_autoload")]
    return int(line.split("|")[1]) / 1000


def _examine_training_step(told: Examination) -> bool:
    step = subprocess.run(
        [sys.executable, "-c", TRAINING_STEP],
        capture_output=True,
        text=True,
        env={**os.environ, "PADDLESEG_EXT_AUTOLOAD": "1"},
    )
    if step.returncode == 0:
        told.fact("training step", step.stdout.strip().splitlines()[-1])
        return True
    last = ([line for line in step.stderr.splitlines() if line.strip()] or [f"exit status {step.returncode}"])[-1]
    told.fact("training step", f"failed: {last.strip()}")
    told.problem("a tiny SANet does not train", "fix the problems above, then run doctor again")
    return False


if __name__ == "__main__":
    sys.exit(examine())
