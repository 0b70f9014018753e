"""The converter: account, errors, and (with PyTorch) whole runs of the tool."""

import itertools
import sys
from pathlib import Path

import numpy as np
import paddle
import pytest
from picture_support import run_tool
from reference_support import image, numbers, official_parameters, official_shapes

from paddleseg_ext import CamVid, SANet, SANetEncoder_M, SANetEncoder_S
from paddleseg_ext.command import UserError
from paddleseg_ext.weights.pytorch_file import read_state_dict
from paddleseg_ext.weights.sanet import camvid_rows, convert, paddle_name

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def official():
    """For S, M and L: names and zeros in the shapes of the published files."""
    return {
        name[-1]: {entry: np.zeros(shape, np.float32) for entry, shape in entries.items()}
        for name, entries in official_shapes().items()
    }


def shapes_of(network):
    return {name: value.shape for name, value in network.state_dict().items()}


@pytest.fixture(scope="module")
def small():
    return shapes_of(SANet(19, SANetEncoder_S()))


@pytest.mark.parametrize(
    "official_name, name",
    [
        ("stom.4.running_var", "backbone.stem.1._batch_norm._variance"),
        ("layer4.1.bn2.weight", "backbone.stage4.1.conv2._batch_norm.weight"),
        ("layer6.0.downsample.0.weight", "backbone.stage6.shortcut._conv.weight"),
        ("dp1.conv.2.0.weight", "backbone.spatial1.2._conv.weight"),
        ("spp.scale22.3.weight", "context.branch2.3.2.weight"),
        ("seghead_extra.conv2.bias", "aux_head.1.2.bias"),
    ],
)
def test_names(official_name, name):
    assert paddle_name(official_name) == name


def test_whole_files_cover_whole_networks(official, small):
    for letter, shapes in (("S", small), ("M", shapes_of(SANet(19, SANetEncoder_M())))):
        weights, coverage = convert(official[letter], shapes)
        assert coverage.complete and set(weights) == set(shapes)
        assert coverage.source == coverage.target == f"SANet-{letter}"
        assert coverage.unused["spp.process1"] == 5
        assert set(coverage.unused) - {"fc"} == {*(f"spp.process{n}" for n in range(1, 5)), "seghead_d2", "classifier"}


def test_account_of_what_is_wrong(official, small):
    entries = dict(official["S"])
    del entries["layer2.1.bn1.bias"]
    entries["decoder.conv_H.weight"] = np.zeros((128, 256, 1, 3), np.float32)
    entries["layer2.7.conv1.weight"] = np.zeros(1, np.float32)
    entries["some.surprise"] = np.zeros(1, np.float32)
    weights, coverage = convert(entries, small)
    assert not coverage.complete
    assert len(weights) == len(small) - 2
    assert coverage.parts["encoder stage2"] == {"matched": 24, "missing": 1, "left over": 1}
    assert coverage.parts["decoder"] == {"matched": 2, "wrong shape": 1}
    assert "missing: backbone.stage2.1.conv1._batch_norm.bias" in coverage.problems
    assert "wrong shape: decoder.row_conv.weight is [128, 256, 1, 3], needed [128, 128, 1, 3]" in coverage.problems
    assert "left over: some.surprise" in coverage.problems


def test_heads_that_the_network_lacks_are_no_problem(official):
    _, coverage = convert(official["S"], shapes_of(SANet(19, SANetEncoder_S(), outputs=["main"])))
    assert coverage.complete
    assert "aux_head" not in coverage.parts


def test_a_larger_variant_is_no_match(official, small):
    _, coverage = convert(official["M"], small)
    assert (coverage.source, coverage.target) == ("SANet-M", "SANet-S")
    assert not coverage.complete


ALPHABET = (
    *("Bicyclist", "Building", "Car", "Pole", "Fence", "Pedestrian"),
    *("Road", "Sidewalk", "SignSymbol", "Sky", "Tree"),
)
CLASSIFIER_ENTRIES = {f"{head}_head.1.2.{kind}" for head in ("main", "aux") for kind in ("weight", "bias")}


def numbered_classifiers(entries, num_rows):
    """`entries` with classifiers of `num_rows` rows; each row holds its own number."""
    entries = dict(entries)
    for head, kind in itertools.product(("final_layer", "seghead_extra"), ("weight", "bias")):
        name = f"{head}.conv2.{kind}"
        rest = entries[name].shape[1:]
        entries[name] = np.arange(num_rows, dtype=np.float32).reshape(-1, *[1] * len(rest)) * np.ones(rest, np.float32)
    return entries


@pytest.mark.parametrize("num_rows", [11, 19])
def test_a_camvid_file_scores_each_class_as_the_authors_do(num_rows):
    """Their numbers are of 19 rows, of which the first are CamVid's classes."""
    entries = official_parameters("SANet-S")
    for head, kind in itertools.product(("final_layer", "seghead_extra"), ("weight", "bias")):
        entries[f"{head}.conv2.{kind}"] = entries[f"{head}.conv2.{kind}"][:num_rows]
    network = SANet(11, SANetEncoder_S())
    weights, coverage = convert(entries, shapes_of(network), camvid_rows(CamVid.CLASSES))
    assert coverage.complete
    network.set_state_dict(weights)
    network.eval()
    seen = {}
    for name in ("main", "aux"):
        getattr(network, f"{name}_head").register_forward_post_hook(
            lambda _, inputs, output, name=name: seen.update({name: output.numpy()[0]})
        )
    network.forward_heads(paddle.to_tensor(image("sanet_s_128x256", (1, 3, 128, 256))))
    expected = numbers("sanet_s_128x256")
    for name, scores in seen.items():
        for index, camvid_class in enumerate(CamVid.CLASSES):
            theirs = expected[name][0][ALPHABET.index(camvid_class)]
            assert np.abs(scores[index] - theirs).max() <= 1e-4 * np.abs(expected[name]).max(), camvid_class
    as_is, _ = convert(entries, shapes_of(network))
    np.testing.assert_array_equal(as_is["main_head.1.2.bias"], entries["final_layer.conv2.bias"][:11])


@pytest.mark.parametrize("num_rows, num_classes", [(11, 19), (35, 19), (19, 35), (12, 11)])
def test_another_number_of_classes_is_told(official, num_rows, num_classes):
    shapes = shapes_of(SANet(num_classes, SANetEncoder_S()))
    weights, coverage = convert(numbered_classifiers(official["S"], num_rows), shapes)
    assert coverage.classes == (num_rows, num_classes) and not coverage.complete
    assert set(shapes) - set(weights) == CLASSIFIER_ENTRIES


def test_pytorch_is_asked_for_only_to_read(tmp_path, monkeypatch):
    file = tmp_path / "weights.pt"
    file.write_bytes(b"something")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UserError, match="pip install"):
        read_state_dict(str(file))


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch reads its own files only")


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 cut short", b"\x80\x02}q\x00."])
def test_other_files_are_refused(torch, tmp_path, content):
    file = tmp_path / "weights.pt"
    file.write_bytes(content)
    with pytest.raises(UserError, match=str(file)):
        read_state_dict(str(file))


class Malice:
    def __reduce__(self):
        return (open, ("malice.txt", "w"))


def test_code_in_a_pickle_does_not_run(torch, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"stom.0.weight": Malice()}, "weights.pt")
    with pytest.raises(UserError, match="refused"):
        read_state_dict("weights.pt")
    assert not Path("malice.txt").exists()


def test_training_checkpoints_are_unwrapped(torch, tmp_path):
    file = str(tmp_path / "checkpoint.pth.tar")
    states = {"module.model.stom.0.bias": torch.arange(3.0), "module.sem_loss.weight": torch.ones(1).half()}
    states["module.model.fc.bias"] = torch.nn.Parameter(torch.ones(1))  # as named_parameters() has it
    torch.save({"epoch": 3, "best_mIoU": np.float64(0.5), "state_dict": states, "optimizer": {"lr": 0.1}}, file)
    entries = read_state_dict(file)
    assert list(entries) == ["stom.0.bias", "sem_loss.weight", "fc.bias"]
    np.testing.assert_array_equal(entries["stom.0.bias"], [0, 1, 2])
    assert entries["sem_loss.weight"].dtype == np.float32


def test_the_name_that_paddle_loads_by(tmp_path):
    with pytest.raises(UserError, match="--dst .*out.pt: the name has to end with .pdparams"):
        run_tool("convert_weights", config="any.yml", src="any.pt", dst=tmp_path / "out.pt")


def convert_file(tmp_path, entries, torch, base="sanet_s_cityscapes_1024x1024_120k", **flags):
    """Run the tool on a file of the authors' form with those entries; returns the file that it writes."""
    config = tmp_path / "sanet.yml"
    config.write_text(f"_base_: '{ROOT}/configs/sanet/{base}.yml'\n")
    source = tmp_path / "official.pt"
    torch.save({f"model.{name}": torch.from_numpy(np.asarray(value)) for name, value in entries.items()}, source)
    target = tmp_path / "new" / "out.pdparams"
    run_tool("convert_weights", config=config, src=source, dst=target, **flags)
    return target


@pytest.mark.slow
def test_tool_writes_what_the_network_loads(torch, official, small, tmp_path, capsys):
    target = convert_file(tmp_path, official["S"], torch)
    assert "287 of 287 entries written" in capsys.readouterr().out
    assert {name: value.shape for name, value in paddle.load(str(target)).items()} == small
    assert not SANet(19, SANetEncoder_S(), pretrained=str(target)).main_head[1][2].weight.any()


@pytest.mark.slow
def test_tool_converts_the_backbone_alone(torch, official, tmp_path):
    encoder = {name: value for name, value in official["S"].items() if not name.startswith("final_layer")}
    target = convert_file(tmp_path, encoder, torch, part="backbone")
    assert set(paddle.load(str(target))) == set(SANetEncoder_S().state_dict())


@pytest.mark.slow
def test_tool_refuses_what_does_not_fit(torch, official, tmp_path, capsys):
    with pytest.raises(UserError, match="looks like SANet-M.* builds SANet-S"):
        convert_file(tmp_path, official["M"], torch)
    assert not (tmp_path / "new").exists()

    incomplete = {name: value for name, value in official["S"].items() if not name.startswith("decoder")}
    with pytest.raises(UserError, match="--partial"):
        convert_file(tmp_path, incomplete, torch)
    assert "missing: decoder.row_conv.weight" in capsys.readouterr().out
    assert not (tmp_path / "new").exists()
    assert len(paddle.load(str(convert_file(tmp_path, incomplete, torch, partial=True)))) == 284


@pytest.mark.slow
def test_tool_puts_camvids_classes_in_order(torch, official, tmp_path, capsys):
    config = "sanet_s_camvid_960x720_9k"
    target = convert_file(tmp_path, numbered_classifiers(official["S"], 19), torch, config)
    told = capsys.readouterr().out
    assert "order of CamVid's classes" in told and "Sky 9" in told
    assert paddle.load(str(target))["main_head.1.2.bias"].tolist() == [9, 1, 3, 6, 7, 10, 8, 4, 2, 5, 0]
    target = convert_file(tmp_path, numbered_classifiers(official["S"], 11), torch, config, class_order="as_is")
    assert paddle.load(str(target))["aux_head.1.2.bias"].tolist() == list(range(11))


@pytest.mark.slow
def test_tool_refuses_a_camvid_file_for_another_data_set(torch, official, tmp_path):
    with pytest.raises(UserError, match="was trained for 11 classes.* has 19"):
        convert_file(tmp_path, numbered_classifiers(official["S"], 11), torch)
    assert not (tmp_path / "new").exists()
