"""Three training steps of a tiny SANet in each of two processes; the second sees ignored pixels only.

Prints the sum of all weights, which has to be the same in both.
"""

import sys

import paddle
from paddle.distributed import fleet
from paddleseg.core import train  # noqa: F401  loads the module that the function hides
from paddleseg.models.losses import CrossEntropyLoss, OhemCrossEntropyLoss

import paddleseg_ext  # noqa: F401
from paddleseg_ext import BoundaryAwareOhemCrossEntropyLoss, BoundaryBCELoss, SANet, SANetEncoder

paddle.set_device("cpu")
fleet.init(is_collective=True)
rank = paddle.distributed.get_rank()
paddle.seed(rank)
network = SANet(3, SANetEncoder((1, 1, 1, 1), (1, 2), (3,), base_channels=4))
optimizer = paddle.optimizer.Momentum(0.001, parameters=network.parameters())
optimizer = fleet.distributed_optimizer(optimizer)
parallel = fleet.distributed_model(network)
losses = {
    "types": [
        OhemCrossEntropyLoss(thresh=0.9, min_kept=100),
        CrossEntropyLoss(),
        BoundaryBCELoss(),
        BoundaryAwareOhemCrossEntropyLoss(thresh=0.9, min_kept=100),
    ],
    "coef": [1.0, 0.4, 20.0, 1.0],
}

labels = paddle.randint(0, 3, [2, 64, 64]) if rank == 0 else paddle.full([2, 64, 64], 255, "int64")
for _ in range(3):
    logits = parallel(paddle.randn([2, 3, 64, 64]))
    loss = sum(sys.modules["paddleseg.core.train"].loss_computation(logits, labels, None, losses))
    loss.backward()
    optimizer.step()
    parallel.clear_gradients()
weights = sum(float(p.abs().sum()) for p in network.parameters() if not p.stop_gradient)
print(f"rank {rank}: loss {float(loss):.4f}, weights {weights:.6f}", file=sys.stderr, flush=True)
