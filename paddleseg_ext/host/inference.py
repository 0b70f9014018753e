"""Paddle Inference on a CPU."""

from __future__ import annotations

from weakref import WeakSet

import paddle.inference

from paddleseg_ext.host.patching import wrap
from paddleseg_ext.host.registry import PADDLE_3, PADDLESEG_BEFORE_2_9, repair


@repair(
    "on a CPU, Paddle Inference cannot run single operators on oneDNN (NotImplementedError: "
    "ConvertPirAttribute2RuntimeAttribute) and knows no memory_optimize_pass (ValueError: "
    "map[predictor_id].count(pass_name) == true), so that PaddleSeg's deploy script fails",
    "not fixed in Paddle 3.3 (paddle.inference)",
    needed=PADDLESEG_BEFORE_2_9 and PADDLE_3,
    useful=PADDLE_3,
)
def inference_on_a_cpu():
    Config = paddle.inference.Config
    waiting_for_gpu: WeakSet = WeakSet()

    def without_placement(original, self, *args):
        original(self, *args)
        # what Paddle's other passes fused around convolutions still runs on oneDNN
        self.delete_pass("onednn_placement_pass")

    def memory_optim_on_gpu(original, self, x=True):
        if self.use_gpu():
            original(self, x)
        elif x:  # PaddleSeg's deploy script asks for it before it asks for the GPU
            waiting_for_gpu.add(self)
        else:
            waiting_for_gpu.discard(self)

    def use_gpu_with_memory_optim(original, self, *args, **kwargs):
        original(self, *args, **kwargs)
        if self in waiting_for_gpu:
            self.enable_memory_optim()

    wrap(Config, "__init__", without_placement)
    wrap(Config, "enable_memory_optim", memory_optim_on_gpu)
    wrap(Config, "enable_use_gpu", use_gpu_with_memory_optim)
