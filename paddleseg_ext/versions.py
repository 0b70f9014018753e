"""The versions that a result depends on."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata

PACKAGES = (
    *("paddlepaddle", "paddlepaddle-gpu", "paddleseg", "paddleseg-ext", "numpy", "opencv-python", "visualdl"),
    *("onnxruntime", "paddle2onnx", "torch"),
)


def installed_versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """The version of each of these packages that is installed."""
    found = {}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
