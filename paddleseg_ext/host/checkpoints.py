"""`paddle.save` and `paddle.load`: files that are whole, and that run no code."""

from __future__ import annotations

import io
import os
import pickle
from types import SimpleNamespace

import paddle
from paddle.framework import io as paddle_io
from paddle.framework import io_utils

from paddleseg_ext.files import replacing
from paddleseg_ext.host.patching import replace, wrap
from paddleseg_ext.host.registry import repair
from paddleseg_ext.weights.paddle_file import read_pickle


@repair(
    "paddle.save writes in place: a run killed meanwhile leaves half a checkpoint and none of the old one",
    "not fixed in Paddle 3.3 (framework/io.py)",
)
def whole_checkpoints():
    def save_whole(original, obj, path, *args, **kwargs):
        if not isinstance(path, (str, os.PathLike)):
            return original(obj, path, *args, **kwargs)
        with replacing(path) as partial:
            original(obj, partial, *args, **kwargs)

    wrap(paddle, "save", save_whole)


@repair("paddle.load calls any function that a checkpoint names", "not fixed in Paddle 3.3 (framework/io.py)")
def checkpoints_without_code():
    def load(file, encoding="latin1"):
        start = file.read(1)
        file.seek(-len(start), os.SEEK_CUR)
        if start not in (b"", pickle.PROTO):  # all that paddle.save pickles begins so
            raise pickle.UnpicklingError("no pickle, but perhaps one of Paddle's binary formats, which it tries next")
        return read_pickle(file, encoding)

    def loads(content, encoding="latin1"):  # on macOS
        return load(io.BytesIO(content), encoding)

    for module in (paddle_io, io_utils):
        replace(module, "pickle", SimpleNamespace(**{**vars(pickle), "load": load, "loads": loads}))
