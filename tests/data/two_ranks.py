"""What two ranks compute together; `tests/test_processes.py` runs it by Paddle's launcher: two_ranks.py FOLDER

Every rank writes FOLDER/rank<number>.json: digests of weights, losses of each step and differences of gradients.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import paddle
from paddle import nn
from paddle.distributed import fleet
from paddleseg.core import train
from paddleseg.models.backbones import MobileNetV3_small_x0_35
from paddleseg.models.losses import CrossEntropyLoss, OhemCrossEntropyLoss

from paddleseg_ext import (
    BoundaryAwareOhemCrossEntropyLoss,
    BoundaryBCELoss,
    EncNet,
    EncodingBCELoss,
    MultiClassBoundaryLoss,
    SANet,
    SANetEncoder,
)

CLASSES, SIZE, BATCH, STEPS = 3, 64, 2, 4
STATISTICS = ("._mean", "._variance")  # of batch norms; Paddle counts them among the parameters
EVERY_PIXEL = 2 * BATCH * SIZE * SIZE  # as `min_kept`: a loss of hard pixels takes them all
loss_computation = sys.modules["paddleseg.core.train"].loss_computation  # the function `train` hides its module


def sanet(min_kept, boundary_thresh, boundary_loss, boundary_classes):
    encoder = SANetEncoder((1, 1, 1, 1), (1, 2), (3,), base_channels=4)
    types = [
        OhemCrossEntropyLoss(thresh=0.9, min_kept=min_kept),
        CrossEntropyLoss(),
        boundary_loss(),
        BoundaryAwareOhemCrossEntropyLoss(thresh=0.9, min_kept=min_kept, boundary_thresh=boundary_thresh),
    ]
    network = SANet(CLASSES, encoder, boundary_classes=boundary_classes)
    return network, {"types": types, "coef": [1, 0.4, 20, 1]}


def build(name, min_kept=500, boundary_thresh=0.5):
    """A small network and all its losses."""
    if name == "SANet":
        return sanet(min_kept, boundary_thresh, BoundaryBCELoss, 1)
    if name == "SANet, boundaries by class":
        return sanet(min_kept, boundary_thresh, MultiClassBoundaryLoss, CLASSES)
    network = EncNet(CLASSES, MobileNetV3_small_x0_35(), num_codes=8, mid_channels=16, add_lateral=True)
    types = [CrossEntropyLoss(), CrossEntropyLoss(), EncodingBCELoss(CLASSES)]
    return network, {"types": types, "coef": [1, 0.4, 0.2]}


NETWORKS = ("SANet", "SANet, boundaries by class", "EncNet")


def digests(tensors):
    return {name: hashlib.sha256(tensor.numpy().tobytes()).hexdigest() for name, tensor in tensors}


def draw(rng, *batch):
    """Noise (*batch, 3, SIZE, SIZE) and labels (*batch, SIZE, SIZE) in squares."""
    labels = rng.integers(0, CLASSES, (*batch, 4, 4)).repeat(SIZE // 4, -1).repeat(SIZE // 4, -2)
    return rng.standard_normal((*batch, 3, SIZE, SIZE)).astype("float32"), labels


class Pictures(paddle.io.Dataset):
    """A rank that learns `nothing` sees ignored pixels alone."""

    def __init__(self, nothing):
        self.nothing = nothing

    def __len__(self):
        return 4 * BATCH

    def __getitem__(self, index):
        image, label = draw(np.random.default_rng(index))
        return {"img": image, "label": np.full_like(label, 255) if self.nothing else label}


def train_by_paddleseg(name, rank, nothing, save_dir):
    """PaddleSeg's trainer for a few steps, from other weights on each rank."""
    paddle.seed(rank)
    network, losses = build(name)
    values = []
    for loss in losses["types"]:
        loss.register_forward_post_hook(lambda layer, inputs, output: values.append(float(output)))
    start = digests(network.named_parameters())
    rate = paddle.optimizer.lr.PolynomialDecay(0.01, STEPS)
    optimizer = paddle.optimizer.Momentum(rate, parameters=network.parameters())
    train(
        network,
        Pictures(nothing),
        optimizer=optimizer,
        save_dir=save_dir,
        iters=STEPS,
        batch_size=BATCH,
        losses=losses,
        log_iters=1,
    )
    return {
        "start": start,
        "end": digests(network.named_parameters()),
        "finite": all(bool(paddle.isfinite(p).all()) for p in network.parameters()),
        "losses": np.reshape(values, (-1, len(losses["types"]))).tolist(),
    }


def compare_gradients(name, rank):
    """Those of the two ranks with a batch each, against those of one network with both batches.

    A mean over all is the mean of the ranks' means where both divide by the same count. Hence no ignored pixel, hard
    pixels are all pixels, and the ranks have the same labels (to other images): weights that balance boundary
    against the rest are the same then.
    """
    paddle.seed(rank)
    network, losses = build(name, min_kept=EVERY_PIXEL, boundary_thresh=0)
    for key, tensor in network.state_dict().items():
        if key.endswith(STATISTICS):
            middle = 1 if key.endswith("_variance") else 0
            tensor.set_value(paddle.uniform(tensor.shape, min=middle - 0.5, max=middle + 0.5))
    parallel = fleet.distributed_model(network)
    alone, _ = build(name)
    alone.set_state_dict(network.state_dict())
    for layer in network.sublayers() + alone.sublayers():
        if isinstance(layer, nn.Dropout) or hasattr(layer, "_variance"):
            layer.eval()

    images, labels = draw(np.random.default_rng(0), 2 * BATCH)
    labels[BATCH:] = labels[:BATCH]
    mine = slice(rank * BATCH, (rank + 1) * BATCH)
    for model, part in ((parallel, mine), (alone, slice(None))):
        logits = model(paddle.to_tensor(images[part]))
        sum(loss_computation(logits, paddle.to_tensor(labels[part]), None, losses)).backward()
    expected = dict(alone.named_parameters())
    return {
        "state": digests(network.state_dict().items()),
        "gradients": {
            key: [float((p.grad - expected[key].grad).abs().max()), float(expected[key].grad.abs().max())]
            for key, p in network.named_parameters()
            if not p.stop_gradient
        },
    }


def main(folder):
    paddle.set_device("cpu")
    fleet.init(is_collective=True)
    rank = paddle.distributed.get_rank()
    told = {"ranks": paddle.distributed.get_world_size()}
    told["gradients"] = {name: compare_gradients(name, rank) for name in NETWORKS}
    for case, nothing in (("both learn", False), ("one learns", rank == 1)):
        told[case] = {name: train_by_paddleseg(name, rank, nothing, str(Path(folder, case, name))) for name in NETWORKS}
    Path(folder, f"rank{rank}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1])
