"""`paddle.save` and `paddle.load`: files that are whole, and that run no code."""

from __future__ import annotations

import os
from types import SimpleNamespace

import paddle

from paddleseg_ext.host.registry import repair, replace, wrap


@repair(
    needed=False,
    reason="paddle.save writes in place: a run that is killed meanwhile leaves half a checkpoint, and none of the old one",
    upstream="not fixed in Paddle 3.3 (framework/io.py)",
)
def whole_checkpoints():
    from paddleseg_ext.files import replacing

    def save_whole(original, obj, path, *args, **kwargs):
        if not isinstance(path, (str, os.PathLike)):
            return original(obj, path, *args, **kwargs)
        with replacing(path) as partial:
            original(obj, partial, *args, **kwargs)

    wrap(paddle, "save", save_whole)


@repair(
    needed=False,
    reason="paddle.load calls any function that a checkpoint names",
    upstream="not fixed in Paddle 3.3 (framework/io.py)",
)
def checkpoints_without_code():
    from paddle.framework import io

    from paddleseg_ext.weights.paddle_file import read_pickle

    replace(io, "pickle", SimpleNamespace(**{**vars(io.pickle), "load": read_pickle}))
