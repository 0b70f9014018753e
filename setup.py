"""Packaging of paddleseg_ext: the package, its configs and tools, and the start-up hook."""

import re
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
# written there alone, since importing the package needs its dependencies
VERSION = re.search(r'^__version__ = "(.+)"$', (ROOT / "paddleseg_ext/__init__.py").read_text(encoding="utf-8"), re.M)
HOOK = "paddleseg_ext_autoload"
# ml_dtypes: ONNX Runtime's quantiser imports it without saying so; for Paddle 2.6 it must be paddle2onnx<2
ONNX = ["onnx", "onnxruntime", "paddle2onnx", "ml_dtypes"]


class BuildPyWithHook(build_py):
    """Puts the start-up hook (a module and the files that call it) beside the package, for `pip install -e` too.

    All are ordinary files of the wheel, so that `pip uninstall` removes them.
    """

    def run(self):
        super().run()
        self.mkpath(self._site_root())
        for source, target in self._hook_files().items():
            self.copy_file(source, target)

    def get_outputs(self, include_bytecode=1):
        return [*super().get_outputs(include_bytecode), *self._hook_files().values()]

    def _hook_files(self):
        root = Path(self._site_root())
        # Python 3.15 takes the .start file and then skips the .pth file's line, which ends with 3.18 (PEP 829)
        suffixes = (".py", ".pth", ".start")
        return {str(ROOT / "paddleseg_ext" / f"autoload{s}"): str(root / f"{HOOK}{s}") for s in suffixes}

    def _site_root(self):
        if getattr(self, "editable_mode", False):  # build_lib is thrown away there
            return self.get_finalized_command("install").install_lib
        return self.build_lib


setup(
    name="paddleseg_ext",
    version=VERSION[1],
    description="EncNet, SANet and boundary losses as a plugin for PaddleSeg",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=[
        *find_packages(include=["paddleseg_ext", "paddleseg_ext.*"]),
        "paddleseg_ext.tools",
        "paddleseg_ext.configs",
    ],
    package_dir={"paddleseg_ext.tools": "tools", "paddleseg_ext.configs": "configs"},
    package_data={
        "paddleseg_ext": [
            "py.typed",
            "autoload.pth",
            "autoload.start",
            "children/*.py",
            "analysis/*.html",
            "data_tools/*.html",
            "data_tools/*.yml",
        ],
        "paddleseg_ext.configs": ["**/*.yml", "**/*.md"],
    },
    install_requires=[
        "paddleseg",  # no lower bound: PaddleSeg from git calls itself 0.0.0.dev0
        # PaddleSeg 2.8.0 takes opencv-python 4.5.5, built against NumPy 1: `import cv2` fails with NumPy 2
        "numpy<2",
        "opencv-python",
        "visualdl",
        "pyyaml",
        # brought by paddleseg and visualdl anyway; named because they are imported here
        "jinja2",
        "matplotlib",
        "packaging",
        "pillow",
        "prettytable>=3.12",
        "tqdm",
    ],
    extras_require={
        "cpu": ["paddlepaddle"],
        # PyPI's newest, 2.6.2: for CUDA 11 and cards of compute capability 6.1 to 8.6; newer cards: docs/gpu.md.
        # Its distributed training fails with protobuf 7.
        "gpu": ["paddlepaddle-gpu", "protobuf<7"],
        "convert": ["torch>=2.6"],
        "onnx": ONNX,
        "cityscapes": ["cityscapesscripts"],
        "docs": ["mkdocs-material==9.8.2", "mkdocstrings[python]==1.0.8"],
        "lint": ["ruff==0.17.6", "mypy==2.4.1"],
        "release": ["build", "twine"],
        "test": [
            "pytest",
            "pytest-cov",
            "pytest-xdist",
            "hypothesis",
            "playwright",  # drives the system's Chromium
            "torch==2.13.0",
            *ONNX,
            "cityscapesscripts",
        ],
    },
    entry_points={"console_scripts": ["paddleseg-ext = paddleseg_ext_autoload:command_line"]},
    cmdclass={"build_py": BuildPyWithHook},
    classifiers=[
        "License :: OSI Approved :: Apache Software License",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
)
