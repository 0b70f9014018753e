"""SANet: what each network must do, the official function, parameter counts, outputs, arguments, configs."""

from pathlib import Path

import numpy as np
import paddle
import pytest
from network_tester import NetworkTester, trainable
from paddleseg.cvlibs import Config, SegBuilder
from paddleseg.models import STDC1
from reference_support import image, numbers, official_parameters

from paddleseg_ext import DAPPM, SANet, SANetEncoder, SANetEncoder_L, SANetEncoder_M, SANetEncoder_S
from paddleseg_ext.builder import Builder, load_config
from paddleseg_ext.weights.sanet import convert

CONFIGS = sorted((Path(__file__).resolve().parents[1] / "configs" / "sanet").glob("*.yml"))

ENCODERS = {"S": SANetEncoder_S, "M": SANetEncoder_M, "L": SANetEncoder_L}
HEAD_LAYERS = {"main": "main_head", "aux": "aux_head", "boundary": "boundary_head"}


def tiny_encoder(**kwargs):
    return SANetEncoder((1, 1, 1, 1), (1, 2), (3,), base_channels=4, **kwargs)


def size(network):
    return sum(p.size for p in trainable(network).values())


class TestSANetS(NetworkTester):
    folded = 41
    encoder = {"num_blocks": (2, 2, 2, 2)}

    def build(self, **arguments):
        return SANet(self.classes, SANetEncoder(base_channels=4, **self.encoder), **arguments)

    def training_shapes(self, height, width):
        main, boundary = (2, self.classes, height, width), (2, 1, height, width)
        return [main, main, boundary, main, boundary]

    def test_pair_is_main_and_boundary(self):
        main, _, boundary, pair = self.build()(paddle.randn([2, 3, 32, 32]))
        assert pair[0] is main and pair[1] is boundary


@pytest.mark.slow
class TestSANetM(TestSANetS):
    """Only in depth between the others."""

    folded = 63
    encoder = {"num_blocks": (3, 3, 9, 3)}
    test_sizes = test_every_parameter_learns = test_saved_and_loaded = test_exported = None
    test_pair_is_main_and_boundary = None


@pytest.mark.slow
class TestSANetL(TestSANetS):
    folded = 104
    encoder = {"num_blocks": (3, 3, 27, 3), "dilations1": (1, 2, 5, 7, 13), "dilations2": (1, 2, 5, 7, 13)}


@pytest.mark.parametrize(
    "name, inference, training", [("S", 8264820, 8377384), ("M", 11901428, 12013992), ("L", 17957620, 18070184)]
)
def test_parameters_are_those_that_segmentation_uses(name, inference, training):
    network = SANet(19, ENCODERS[name]())
    assert size(network) == training
    assert size(SANet(19, ENCODERS[name](), outputs=["main"])) == inference


def test_reproduces_the_official_network():
    network = SANet(19, SANetEncoder_S())
    shapes = {name: value.shape for name, value in network.state_dict().items()}
    weights, coverage = convert(official_parameters("SANet-S"), shapes)
    assert coverage.complete
    network.set_state_dict(weights)
    network.eval()

    layers = {
        **{name: getattr(network, attribute) for name, attribute in HEAD_LAYERS.items()},
        **{f"layer{n}": getattr(network.backbone, f"stage{n}") for n in range(1, 7)},
        **{"stom": network.backbone.stem, "spp": network.context, "decoder": network.decoder},
        **{f"dp{n}": getattr(network.backbone, f"spatial{n}") for n in (1, 2)},
    }
    seen = {}
    for name, layer in layers.items():
        layer.register_forward_post_hook(lambda _, inputs, output, name=name: seen.update({name: output.numpy()}))
    network.forward_heads(paddle.to_tensor(image("sanet_s_128x256", (1, 3, 128, 256))))

    reference = numbers("sanet_s_128x256")
    assert set(reference) == set(layers)
    for name in reference:
        expected = reference[name]
        difference = np.abs(seen[name][:, : expected.shape[1]] - expected).max()
        assert difference <= 1e-4 * np.abs(expected).max(), name


def test_outputs_stand_in_the_order_asked_for():
    network = SANet(3, tiny_encoder(), outputs=["main", "boundary_aware", "boundary"], boundary_classes=3)
    assert not hasattr(network, "aux_head")
    main, (_, paired), boundary = network(paddle.randn([1, 3, 32, 32]))
    assert paired is boundary
    assert boundary.shape == main.shape == [1, 3, 32, 32]
    network.eval()
    heads = network.forward_heads(paddle.randn([1, 3, 32, 32]))
    assert list(heads) == ["main", "boundary"]


def test_spatial_fusion_by_concatenation_widens_the_attention():
    added, concatenated = (SANet(3, tiny_encoder(), spatial_fusion=fusion) for fusion in ("add", "concat"))
    assert size(concatenated) - size(added) == 2 * 3 * 16 * 16
    assert concatenated(paddle.randn([1, 3, 32, 32]))[0].shape == [1, 3, 32, 32]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"outputs": ["aux", "main"]}, r"outputs is \['aux', 'main'\]"),
        ({"outputs": ["main", "edge"]}, "edge"),
        ({"outputs": ["main", "aux", "aux"]}, "once"),
        ({"context": DAPPM()}, "DAPPM goes from 512 to 128 channels; this backbone needs 64 to 16"),
        ({"spatial_fusion": "multiply"}, "spatial_fusion is 'multiply'"),
        ({"outputs": "main"}, "outputs is 'main'; expected"),
        ({"context": "APPPM"}, r"context is 'APPPM'; expected a context module, in a YAML {type: APPPM}"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        SANet(3, tiny_encoder(), **arguments)


def test_a_yaml_without_a_backbone(tmp_path):
    """PaddleSeg's builder gives such a model the channels of the images."""
    path = tmp_path / "a.yml"
    base = Path(__file__).parents[1] / "configs/_base_/camvid.yml"
    path.write_text(f"_base_: {base}\nmodel: {{type: SANet}}\n")
    assert len(SegBuilder(Config(str(path))).model.backbone.feat_channels) == 5
    assert SANet(3, in_channels=1).backbone.stem[0]._conv.weight.shape[1] == 1


def test_wrong_encoders_are_named():
    with pytest.raises(ValueError, match=r"backbone STDCNet has maps of \[32, 64, 256, 512, 1024\] channels"):
        SANet(3, STDC1())
    with pytest.raises(ValueError, match=r"num_blocks is \[2, 2, 2\]"):
        SANetEncoder((2, 2, 2))
    with pytest.raises(ValueError, match=r"dilations2 \[\]"):
        SANetEncoder(dilations2=())


def test_pretrained_with_other_classes_keeps_all_but_the_classifiers(tmp_path):
    path = str(tmp_path / "three.pdparams")
    three = SANet(3, tiny_encoder())
    paddle.save(three.state_dict(), path)
    five = SANet(5, tiny_encoder(), pretrained=path)
    before, after = three.state_dict(), five.state_dict()
    differ = [name for name in after if after[name].shape != before[name].shape]
    assert sorted(differ) == [f"{head}.1.2.{kind}" for head in ("aux_head", "main_head") for kind in ("bias", "weight")]
    assert all(np.array_equal(after[name], before[name]) for name in after if name not in differ)


def test_backbone_loads_its_own_pretrained(tmp_path):
    path = str(tmp_path / "encoder.pdparams")
    encoder = tiny_encoder()
    paddle.save(encoder.state_dict(), path)
    network = SANet(3, tiny_encoder(pretrained=path))
    assert np.array_equal(network.backbone.stem[0]._conv.weight, encoder.stem[0]._conv.weight)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_configs_are_whole(path):
    config = load_config(str(path))
    builder = Builder(config)
    losses = builder.loss
    assert len(config.model_cfg["outputs"]) == len(losses["types"]) == len(losses["coef"])
    assert config.model_cfg["backbone"]["type"] == f"SANetEncoder_{path.stem.split('_')[1].upper()}"
    iters = config.iters
    assert path.stem.endswith(f"_{iters // 1000}k" if iters >= 1000 else f"_{iters}")
    crops = [t["crop_size"] for t in config.train_dataset_cfg["transforms"] if "crop_size" in t]
    assert all("_{}x{}_".format(*crop) in path.stem for crop in crops)
    if "multiclass" in path.stem:
        assert config.model_cfg["boundary_classes"] == builder.train_dataset_class.NUM_CLASSES
