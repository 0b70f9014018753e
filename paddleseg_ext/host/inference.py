"""Paddle Inference on a CPU."""

from __future__ import annotations

from packaging.version import Version

from paddleseg_ext.host.registry import PADDLE, PADDLESEG_BEFORE_2_9, repair, wrap


@repair(
    needed=PADDLESEG_BEFORE_2_9 and PADDLE >= Version("3.0"),
    useful=PADDLE >= Version("3.0"),
    reason=(
        "on a CPU, Paddle Inference cannot place single operators on oneDNN (ConvertPirAttribute2RuntimeAttribute) and "
        "knows no memory_optimize_pass, so that PaddleSeg's deploy script fails"
    ),
    upstream="not fixed in Paddle 3.3 (paddle.inference)",
)
def inference_on_a_cpu():
    from paddle.inference import Config

    def without_placement(original, self, *args):
        original(self, *args)
        # what Paddle's other passes fused around convolutions still runs on oneDNN
        self.delete_pass("onednn_placement_pass")

    def on_gpu_only(original, self, *args):
        if self.use_gpu():
            original(self, *args)

    wrap(Config, "__init__", without_placement)
    wrap(Config, "enable_memory_optim", on_gpu_only)
