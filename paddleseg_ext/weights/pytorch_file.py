"""Reading PyTorch's checkpoint files without running what may be in them."""

from __future__ import annotations

import os
import pickle
import re

import numpy as np

from paddleseg_ext.command import UserError

# What data parallelism and the authors' training wrapper put before the names.
WRAPPERS = re.compile(r"^(module\.)?(model\.)?")


def read_state_dict(path: str) -> dict[str, np.ndarray]:
    """The names and values of a checkpoint: a state dict, or a training checkpoint that has one under "state_dict".

    Raises:
        UserError: no PyTorch here; the file is missing, cut short, of another format, or holds more than tensors and
            plain values (such a pickle could run any code, and is not loaded).
    """
    if not os.path.isfile(path):
        raise UserError(f"{path}: there is no such file")
    try:
        import torch
    except ImportError as error:
        raise UserError("PyTorch is needed to read its files: pip install 'paddleseg_ext[convert]'") from error
    allowed = torch.serialization.safe_globals(_numpy_scalar_globals())
    try:
        with allowed:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = re.search(r"Unsupported \w+|GLOBAL \S+", str(error))
        raise UserError(
            f"{path}: refused, since it is not a PyTorch file or holds more than weights"
            + (f" ({reason[0]})" if reason else "")
        ) from error
    except (OSError, MemoryError):
        raise
    except Exception as error:  # foreign bytes make the reader fail in many ways
        raise UserError(f"{path}: not a whole PyTorch file; download it again") from error

    if isinstance(content, dict) and "state_dict" in content:
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(isinstance(v, torch.Tensor) for v in content.values()):
        raise UserError(f"{path}: holds no state dict (names and tensors)")
    return {WRAPPERS.sub("", name): value.detach().float().numpy() for name, value in content.items()}


def _numpy_scalar_globals() -> list:
    """Harmless NumPy types that training checkpoints hold beside the weights, such as the best mIoU so far."""
    scalar = np.float64(0).__reduce__()[0]
    modules = ("numpy.core.multiarray", "numpy._core.multiarray")  # NumPy 1 and 2
    return [np.dtype, type(np.dtype("float64")), *((scalar, f"{module}.scalar") for module in modules)]
