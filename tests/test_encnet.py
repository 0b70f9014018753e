"""`EncNet` as each network, against PaddleSeg's `ENCNet`, and its configs."""

from pathlib import Path

import numpy as np
import paddle
import pytest
from deploy_support import spread_statistics
from network_tester import NetworkTester
from paddleseg.cvlibs import Config, SegBuilder
from paddleseg.models import ENCNet
from paddleseg.models.backbones import ResNet18_vd, ResNet50_vd

from paddleseg_ext import EncNet, EncodingBCELoss

CONFIGS = sorted((Path(__file__).resolve().parents[1] / "configs" / "encnet").glob("*.yml"))
CLASSES = 7


def build(network, backbone=ResNet18_vd, mid_channels=32, **arguments):
    return network(CLASSES, backbone(), num_codes=8, mid_channels=mid_channels, **arguments)


class TestEncNet(NetworkTester):
    classes = CLASSES
    folded = 28
    use_se_loss = True

    def build(self, **arguments):
        return build(EncNet, use_se_loss=self.use_se_loss, add_lateral=True, **arguments)

    def training_shapes(self, height, width):
        return [(2, CLASSES, height, width)] * 2 + [(2, CLASSES)] * self.use_se_loss

    def reference_network(self):
        return build(ENCNet, use_se_loss=self.use_se_loss, add_lateral=True)


@pytest.mark.slow
class TestEncNetWithoutPresence(TestEncNet):
    """Which is in training alone: files, export and folding are those of the other."""

    use_se_loss = False
    test_saved_and_loaded = test_exported = test_folded = None


def assert_same_outputs(ours, theirs, x):
    outputs = []
    for network in (ours, theirs):
        paddle.seed(0)  # of the dropout in the auxiliary head
        outputs.append(network(x))
    assert len(outputs[0]) == len(outputs[1])
    for got, expected in zip(*outputs):
        assert got.shape == expected.shape
        assert np.abs((got - expected).numpy()).max() <= 1e-4 * np.abs(expected.numpy()).max()


def assert_parity(tmp_path, sizes, **arguments):
    """Same outputs as PaddleSeg's from weights that went through a file, in both modes."""
    paddle.seed(0)
    theirs, ours = build(ENCNet, **arguments), build(EncNet, **arguments)
    spread_statistics(theirs)
    path = str(tmp_path / "model.pdparams")
    paddle.save(theirs.state_dict(), path)
    assert ours.set_state_dict(paddle.load(path)) == ([], [])  # missing, unexpected
    for size in sizes:
        x = paddle.randn((2, 3, *size))
        for network in (ours, theirs):
            network.eval()
        assert_same_outputs(ours, theirs, x)
        for network in (ours, theirs):
            network.train()
        assert_same_outputs(ours, theirs, x)
    # and PaddleSeg's loads ours
    paddle.save(ours.state_dict(), path)
    assert theirs.set_state_dict(paddle.load(path)) == ([], [])


@pytest.mark.parametrize("add_lateral", [False, True])
@pytest.mark.parametrize("use_se_loss", [False, True])
def test_parity_with_paddleseg(tmp_path, add_lateral, use_se_loss):
    assert_parity(tmp_path, [(32, 48)], add_lateral=add_lateral, use_se_loss=use_se_loss)


@pytest.mark.slow
def test_parity_with_paddleseg_resnet50(tmp_path):
    assert_parity(tmp_path, [(64, 96), (65, 79)], backbone=ResNet50_vd, mid_channels=128, add_lateral=True)


@pytest.fixture
def zero_weights():
    """Random ones take most of the time that it takes to build a ResNet."""
    paddle.nn.initializer.set_global_initializer(paddle.nn.initializer.Constant(0.0))
    yield
    paddle.nn.initializer.set_global_initializer(None)


@pytest.mark.parametrize("indices", [[1, 2, 4], 3, "123", []])
def test_stages_that_a_backbone_has_not(indices):
    with pytest.raises(ValueError, match="backbone_indices is .*; expected a list of stages of .*, which has 4"):
        EncNet(3, ResNet18_vd(), indices)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_config(path, zero_weights):
    config = Config(str(path))
    config.dic["model"]["backbone"]["pretrained"] = None  # no downloads in tests
    builder = SegBuilder(config)
    network, iters = config.dic["model"], config.iters
    backbone = network["backbone"]["type"].lower().replace("_vd", "")
    name = f"{network['type'].lower()}_{backbone}_os{network['backbone']['output_stride']}_"
    assert path.stem.startswith(name)
    assert path.stem.endswith(f"_{iters // 1000}k" if iters >= 1000 else f"_{iters}")
    for transform in config.dic["train_dataset"]["transforms"]:
        if "crop_size" in transform:
            assert "_{}x{}_".format(*transform["crop_size"]) in path.stem
    losses = builder.loss
    outputs = builder.model(paddle.rand([2, 3, 64, 64]))
    auxiliary = 0.2 if "_480x480_" in path.stem else 0.4  # the paper's configs
    assert losses["coef"] == [1, auxiliary, 0.2][: len(outputs)] and len(losses["types"]) == len(outputs)
    if config.dic["model"].get("use_se_loss"):
        assert isinstance(losses["types"][2], EncodingBCELoss)
        assert losses["types"][2].num_classes == builder.train_dataset_class.NUM_CLASSES
