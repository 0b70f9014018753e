"""Reading Paddle's checkpoint files (.pdparams, .pdopt) without running what may be in them.

Such a file is a pickle, and a pickle can call any function. This reader knows the opcodes and the few
names that `paddle.save` writes, and refuses anything else before it runs. It also keeps to the memory and time
that the size of the file suggests: arrays hold the bytes that are there, keys are plain, nothing multiplies.
"""

from __future__ import annotations

import io
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import ClassVar

import numpy as np

from paddleseg_ext.command import UserError
from paddleseg_ext.files import expands_beyond, read_bytes

OPCODES = (
    "PROTO FRAME MARK STOP NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT BINSTRING SHORT_BINSTRING "
    "BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 "
    "EMPTY_LIST APPEND APPENDS EMPTY_DICT SETITEM SETITEMS EMPTY_SET ADDITEMS "
    "GLOBAL STACK_GLOBAL REDUCE BUILD "
    "BINGET LONG_BINGET BINPUT LONG_BINPUT MEMOIZE"
)
NAME_TABLE = "StructuredToParameterName@@"  # beside the weights of a layer: what Paddle calls each of them
MANY_VALUES = 100_000  # fewer than these are no trouble
SLICES = "UnpackBigParamInfor@@"  # beside parameters of over 1 GiB, which protocols 2 and 3 cut up
PLAIN_KEYS = (str, int, float, complex, bytes, type(None), np.generic)
MAX_KEY_PARTS = 100  # of a tuple: the hash of nested ones may take for ever


class _Refused(Exception):
    """Why a pickle is not read any further."""


def load_paddle_file(path: str) -> dict:
    """What `paddle.save` wrote, with arrays for tensors.

    Raises:
        UserError: no such file; not a whole file of `paddle.save`; it holds more than weights and plain values.
    """
    content = read_pickle(io.BytesIO(read_bytes(path)), name=path)
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds no names with weights, but one value of type {type(content).__name__}")
    content.pop(NAME_TABLE, None)
    return {key: value[1] if _is_named_array(value) else value for key, value in content.items()}


def read_pickle(file, encoding: str = "latin1", name: str | None = None):
    """`pickle.load(file)` for what `paddle.save` writes; `name` is what errors call the file.

    Raises:
        UserError: see `load_paddle_file`.
    """
    name = name or getattr(file, "name", "the checkpoint")
    start = file.tell()
    try:
        content = _Reader(file, encoding=encoding).load()
        if expands_beyond(content, max(file.tell() - start, MANY_VALUES)):
            raise _Refused("refers to its own parts so often that it never ends")
        if isinstance(content, dict) and SLICES in content:
            _join_slices(content)
    except _Refused as error:
        raise UserError(f"{name}: refused, since it {error}") from error
    except (OSError, MemoryError):
        raise
    except Exception as error:  # foreign bytes make a reader fail in many ways
        raise UserError(f"{name}: not a whole file of paddle.save: copy or download it again") from error
    return content


def _join_slices(content: dict) -> None:
    """Put together, in `content`, the parameters that it holds in slices: {name: {"OriginShape", "slices": names}}."""
    for name, info in content.pop(SLICES).items():
        parts = [content.pop(part) for part in info["slices"]]  # each slice once: nothing multiplies
        content[name] = np.concatenate(parts).reshape(info["OriginShape"])


def _is_named_array(value) -> bool:
    """Whether this is how `paddle.save` writes a tensor among other things."""
    return isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], np.ndarray)


_ARRAY_CLASS = object()  # stands for numpy.ndarray, which would allocate any size that it is called with


def _empty_array(subtype, shape: tuple, _typecode) -> np.ndarray:
    if subtype is not _ARRAY_CLASS or shape != (0,):
        raise ValueError("not as NumPy writes an array")
    return np.empty(0, np.int8)  # BUILD fills it


def _dtype(code: str, *_) -> np.dtype:
    if not re.fullmatch(r"[?biufcSU]\d*", code):
        raise _Refused(f"holds an array of {code[:80]!r}, which is neither numbers nor text")
    return np.dtype(code)


def _scalar(dtype: np.dtype, data: bytes | str) -> np.generic:
    (value,) = np.frombuffer(_encode(data), dtype)
    return value


def _encode(text: bytes | str, *_) -> bytes:
    """Bytes from what protocol 2, which has none, writes for them."""
    return text.encode("latin1") if isinstance(text, str) else bytes(memoryview(text))


def _set_of(items: Iterable = ()) -> set:
    for item in items:
        _require_plain(item)
    return set(items)


def _require_plain(key) -> None:
    if isinstance(key, PLAIN_KEYS):
        return
    if not isinstance(key, tuple) or expands_beyond(key, MAX_KEY_PARTS):
        raise _Refused(f"has a {type(key).__name__} for a name")


def _evaluated(expression: str, names: dict) -> np.ndarray:
    """How `paddle.save` writes a tensor of a static graph; no other expression is taken."""
    if expression != "data" or list(names) != ["data"] or not isinstance(names["data"], np.ndarray):
        raise _Refused(f"evaluates {str(expression)[:80]!r}")
    return names["data"]


GLOBALS = {
    "_codecs.encode": _encode,
    "builtins.bytes": lambda: b"",
    "builtins.tuple": tuple,
    "builtins.complex": complex,
    "builtins.set": _set_of,
    "builtins.eval": _evaluated,
    "collections.OrderedDict": lambda: OrderedDict(),
    "numpy.dtype": _dtype,
    "numpy.ndarray": _ARRAY_CLASS,
    "numpy.core.multiarray._reconstruct": _empty_array,
    "numpy.core.multiarray.scalar": _scalar,
}
"""What a checkpoint may name -> what is called in its place."""


class _Reader(pickle._Unpickler):
    """Python's own unpickler: unlike the one in C it lets opcodes be left out, and its memo takes no memory ahead."""

    # of the base class, whose published types lack them
    stack: list
    pop_mark: Callable[[], list]

    dispatch: ClassVar[dict[int, Callable]] = {}
    for _opcode in OPCODES.split():
        _code = getattr(pickle, _opcode)[0]
        dispatch[_code] = pickle._Unpickler.dispatch[_code]

    def find_class(self, module, name):
        # the names of Python 2 and of NumPy 2
        module = {"__builtin__": "builtins", "numpy._core.multiarray": "numpy.core.multiarray"}.get(module, module)
        full_name = f"{module}.{name}"
        if full_name not in GLOBALS:
            raise _Refused(f"names {full_name[:80]!r}, which weights never do: it could run any code")
        return GLOBALS[full_name]

    def load_setitems(self):
        items = self.pop_mark()
        for key, value in zip(items[::2], items[1::2]):
            self._set(key, value)

    def load_setitem(self):
        value, key = self.stack.pop(), self.stack.pop()
        self._set(key, value)

    def _set(self, key, value):
        _require_plain(key)
        self.stack[-1][key] = value

    def load_additems(self):
        items = self.pop_mark()
        if not isinstance(self.stack[-1], set):
            raise ValueError("no set to add to")
        self.stack[-1].update(_set_of(items))

    def load_build(self):
        """Fills arrays; NumPy's own `__setstate__` trusts flags that could make it read any memory."""
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, np.dtype):
            if state != target.__reduce__()[2]:
                raise ValueError("not as NumPy writes a type")
            return
        _version, shape, dtype, is_fortran, data = state
        data = _encode(data)
        values = np.frombuffer(data, dtype) if data else np.empty(0, dtype)
        if values.size != np.prod(shape, dtype=object):
            raise ValueError("an array that does not have the bytes for its shape")
        target.__setstate__((tuple(map(int, shape)), dtype, bool(is_fortran), data))

    dispatch[pickle.SETITEM[0]] = load_setitem
    dispatch[pickle.SETITEMS[0]] = load_setitems
    dispatch[pickle.ADDITEMS[0]] = load_additems
    dispatch[pickle.BUILD[0]] = load_build
