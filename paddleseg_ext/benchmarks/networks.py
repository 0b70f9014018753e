"""The networks that `benchmark inference` compares."""

from __future__ import annotations

RESNET101 = {"type": "ResNet101_vd", "output_stride": 8}
# The `model` of a YAML, and the mIoU figures on Cityscapes val that are published for it, measured at `PUBLISHED_SIZE`
# (SANet: the two of its paper's table, which does not say how they differ; others: PaddleSeg)
NETWORKS: dict[str, tuple[dict, tuple[float, ...]]] = {
    "SANet-S": ({"type": "SANet", "backbone": {"type": "SANetEncoder_S"}}, (78.6, 79.9)),
    "SANet-M": ({"type": "SANet", "backbone": {"type": "SANetEncoder_M"}}, (78.8, 80.2)),
    "SANet-L": ({"type": "SANet", "backbone": {"type": "SANetEncoder_L"}}, (79.2, 80.6)),
    "EncNet": ({"type": "EncNet", "backbone": RESNET101, "add_lateral": True}, ()),
    "ENCNet": ({"type": "ENCNet", "backbone": RESNET101, "add_lateral": True}, (79.42,)),
    "PPLiteSeg-STDC1": ({"type": "PPLiteSeg", "backbone": {"type": "STDC1"}}, (77.04,)),
    "DDRNet_23": ({"type": "DDRNet_23", "enable_auxiliary_loss": False}, (79.85,)),
    "BiSeNetV2": ({"type": "BiSeNetV2"}, (73.19,)),
}
PUBLISHED_SIZE = "1024x2048"
CLASSES = 19


def build(name: str):
    """The network of a YAML file or of `NETWORKS`, in evaluation mode."""
    from paddleseg.cvlibs import Config

    from paddleseg_ext.builder import Builder, load_config

    if name in NETWORKS:
        config = Config.__new__(Config)  # a configuration of nothing but a model
        config.dic = {"model": {**NETWORKS[name][0], "num_classes": CLASSES}, "train_dataset": {"type": "Dataset"}}
    else:
        config = load_config(name)
    network = Builder(config).model
    network.eval()
    return network
