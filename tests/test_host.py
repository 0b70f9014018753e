"""The package as a guest: what it changes in PaddleSeg and Paddle, told by processes with and without it."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_trainer import run_trainer

from paddleseg_ext.host import FILES, patching, registry
from paddleseg_ext.host.registry import PADDLE_3, PADDLESEG_BEFORE_2_9, REPAIRS

ROOT = Path(__file__).resolve().parents[1]
WITHOUT = {"PADDLESEG_EXT_AUTOLOAD": "0"}
STACK = ("A" if PADDLE_3 else "B") if PADDLESEG_BEFORE_2_9 else "C"  # as docs/repairs.md calls them
LOSSES = "paddleseg.models.losses"
NEEDED = {  # functions that differ -> stacks
    "paddleseg.core.train.train": "AB",
    "paddleseg.utils.metrics.calculate_area": "AB",
    f"{LOSSES}.cross_entropy_loss.CrossEntropyLoss._post_process_loss": "AB",
    f"{LOSSES}.semantic_encode_cross_entropy_loss.SECrossEntropyLoss.forward": "AB",
    f"{LOSSES}.dice_loss.DiceLoss.forward": "A",
    f"{LOSSES}.ohem_cross_entropy_loss.OhemCrossEntropyLoss.forward": "A",
    f"{LOSSES}.decoupledsegnet_relax_boundary_loss.RelaxBoundaryLoss.custom_nll": "A",
    f"{LOSSES}.ohem_edge_attention_loss.OhemEdgeAttentionLoss.forward": "A",
    f"{LOSSES}.gscnn_dual_task_loss.DualTaskLoss.forward": "A",
    f"{LOSSES}.gscnn_dual_task_loss.DualTaskLoss.compute_grad_mag": "A",
    f"{LOSSES}.rmi_loss.RMILoss.forward_sigmoid": "A",
    f"{LOSSES}.point_cross_entropy_loss.PointCrossEntropyLoss.forward": "A",
    "paddleseg.models.sfnet.AlignedModule.flow_warp": "A",
    "paddleseg.models.decoupled_segnet.SqueezeBodyEdge.flow_warp": "A",
    "paddleseg.models.pointrend.PointHead.get_points_test": "AB",
    "paddleseg.models.isanet.ISAHead.forward": "AB",
    "paddleseg.transforms.transforms.RandomPaddingCrop.__call__": "AB",
    "paddle.base.libpaddle.AnalysisConfig.__init__": "A",  # paddle.inference.Config
    "paddle.base.libpaddle.AnalysisConfig.enable_memory_optim": "A",
    "paddle.base.libpaddle.AnalysisConfig.enable_use_gpu": "A",
}


def run(*command, folder=None, **environment):
    """The output of Python with that command, in a folder where the checkout is not found by its place."""
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        capture_output=True,
        text=True,
        cwd=folder or "/",
        env={**{k: v for k, v in os.environ.items() if k != registry.REPAIRS_SWITCH}, **environment},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done


@functools.cache
def functions(**environment):
    done = run(ROOT / "tests/data/host_functions.py", PYTHONHASHSEED="0", **environment)
    return json.loads(done.stdout.splitlines()[-1])


def changed(policy):
    before, after = functions(**WITHOUT), functions(**{registry.REPAIRS_SWITCH: policy})
    assert len(before) > 10_000
    places = [place for place in before.keys() | after.keys() if before.get(place) != after.get(place)]
    return {after.get(place, before.get(place))[0] for place in places}


@pytest.mark.slow
def test_presence_changes_only_what_raises_an_error_by_itself():
    assert changed("needed") == {name for name, stacks in NEEDED.items() if STACK in stacks}


@pytest.mark.slow
def test_none_changes_nothing():
    assert changed("none") == set()


@pytest.mark.slow
def test_one_repair_by_name_changes_its_function_and_the_line_that_says_so():
    expected = {f"{LOSSES}.lovasz_loss.{name}.forward" for name in ("LovaszHingeLoss", "LovaszSoftmaxLoss")}
    assert changed("lovasz_of_nothing") == {*expected, "paddleseg.core.train.train"}


TRAINING = """
import sys, zlib
import numpy as np, paddle
from paddleseg import models
from paddleseg.core import train
from paddleseg.models import losses

class Noise(paddle.io.Dataset):
    num_classes, ignore_index = 4, 255
    def __len__(self):
        return 10
    def __getitem__(self, index):
        draw = np.random.RandomState(index)
        return {"img": draw.rand(3, 64, 64).astype("float32"), "label": draw.randint(0, 4, (64, 64)).astype("int64")}

class Told(losses.OhemCrossEntropyLoss):
    def forward(self, *args):
        loss = super().forward(*args)
        print("loss", float(loss).hex())
        return loss

paddle.seed(0)
network = models.PPLiteSeg(num_classes=4, backbone=models.STDC1())
if sys.argv[1] == "DDRNet":
    network = models.DDRNet_23(num_classes=4)
outputs = len(network(paddle.rand([2, 3, 64, 64])))
train(
    network, Noise(), optimizer=paddle.optimizer.Momentum(0.01, parameters=network.parameters()), iters=5,
    batch_size=2, log_iters=1, save_dir=sys.argv[2],
    losses={"types": [Told(min_kept=500)] * outputs, "coef": [1] * outputs},
)
for name, value in network.state_dict().items():
    print(name, float(value.astype("float64").sum()).hex())
"""


@pytest.mark.slow
@pytest.mark.skipif(PADDLESEG_BEFORE_2_9, reason="PaddleSeg 2.8 trains nothing by itself on this Paddle; see NEEDED")
@pytest.mark.parametrize("network", ["PPLiteSeg", "DDRNet"])
def test_training_is_bit_for_bit_that_without_the_package(network, tmp_path):
    def told(**environment):
        lines = run("-c", TRAINING, network, tmp_path, **environment).stdout.splitlines()
        return [line for line in lines if "0x" in line]

    before = told(**WITHOUT)
    assert sum(line.startswith("loss") for line in before) >= 5
    assert told() == before


FILES_AND_WORKERS = """
import collections, io, multiprocessing, sys, zlib
import numpy as np, paddle
import paddleseg

def same(value):
    if isinstance(value, dict):
        return {key: same(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(same, value))
    return (type(value).__name__, np.array(value).tolist()) if hasattr(value, "shape") else value

def told(name, saved, **options):
    paddle.save(saved, name, **options)
    print("loaded", name, same(paddle.load(name)))

def load_everything():
    tensor = paddle.arange(6).reshape([2, 3]).astype("float32")
    for protocol in (2, 3, 4):
        plain = {"set": {3}, "tuple": ((1, 2), "x"), (1, "key"): None, 2.5: "number", "c": 1j}
        told(f"plain{protocol}", plain, protocol=protocol)
        told(f"tensors{protocol}", {"w": tensor, "more": [tensor, (tensor, {1, 2})]}, protocol=protocol)
    told("binary", tensor, use_binary_format=True)
    buffer = io.BytesIO()
    paddle.save({"w": tensor}, buffer)
    buffer.seek(0)
    print("loaded", same(paddle.load(buffer)))

    # as protocols 2 and 3 cut up what is over 1 GiB
    parts = {"w@@.0": np.arange(6.0), "w@@.1": np.arange(6.0, 10.0)}
    table = {"w": {"OriginShape": (5, 2), "slices": list(parts)}}
    told("slices", {**parts, "small": np.ones(2), "UnpackBigParamInfor@@": table})

    sys.platform = "darwin"
    told("mac", {"w": tensor})
    sys.platform = "linux"

    paddle.enable_static()
    main, startup = paddle.static.Program(), paddle.static.Program()
    with paddle.static.program_guard(main, startup):
        x = paddle.static.data("x", [None, 2], "float32")
        out = paddle.static.nn.fc(x, 1, weight_attr=paddle.nn.initializer.Constant(0.5))
        executor = paddle.static.Executor(paddle.CPUPlace())
        executor.run(startup)
        state = main.state_dict("param")
        told("static", state)
        paddle.save(main, "program")
        print("loaded program", type(paddle.load("program")).__name__)

class Numbers(paddle.io.Dataset):
    def __len__(self):
        return 4
    def __getitem__(self, index):
        return np.full(3, index, "float32")

if __name__ == "__main__":
    if sys.argv[1:] == ["spawn"]:
        multiprocessing.set_start_method("spawn")
        loader = paddle.io.DataLoader(Numbers(), num_workers=1, batch_size=2)
        print("sum", sum(float(batch.sum()) for batch in loader))
    load_everything()
"""


@pytest.fixture(scope="module")
def lines_of(tmp_path_factory):
    """What the script above prints under a policy; None: without the package."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "script.py").write_text(FILES_AND_WORKERS)

    @functools.cache
    def lines(policy):
        command, environment = ["script.py"], WITHOUT
        if policy:
            command, environment = ["script.py", "spawn"], {registry.REPAIRS_SWITCH: policy}
        return run(*command, folder=folder, **environment).stdout.splitlines()

    return lines


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["needed", "all"])
def test_paddle_load_takes_what_it_takes_without_the_package(policy, lines_of):
    before, after = ([line for line in lines_of(one) if "loaded" in line] for one in (None, policy))
    assert len(before) == 12
    assert after == before


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["needed", "all"])
def test_data_workers_can_be_spawned(policy, lines_of):
    assert "sum 18.0" in lines_of(policy)


def test_looking_paddleseg_up_before_its_import_keeps_the_registration():
    code = """
import importlib.util
assert importlib.util.find_spec("paddleseg") and importlib.util.find_spec("paddleseg")
from paddleseg.cvlibs import manager
print("SANet" in manager.MODELS.components_dict)
"""
    assert run("-c", code).stdout.splitlines()[-1] == "True"


@pytest.fixture
def scratch():
    """A registry whose repairs are taken back afterwards."""
    before = {name: REPAIRS[name] for name in REPAIRS}
    on = ",".join(one.name for one in REPAIRS.values() if one.is_on) or "none"
    registry.report.cache_clear()
    yield before
    for name in REPAIRS.keys() - before.keys():
        del REPAIRS[name]
    registry.apply("none")
    registry.apply(on)


class Host:
    def method(self):
        return "as it was"


def test_a_repair_that_fails_stops_nothing_and_takes_back_what_it_changed(scratch, capsys):
    tried = []

    @registry.repair(needed=True, reason="", upstream="")
    def breaks():
        tried.append("breaks")
        patching.replace(Host, "method", None)
        patching.replace(Host, "added", None)
        raise KeyError("unknown code")

    @registry.repair(needed=True, reason="", upstream="")
    def works():
        patching.wrap(Host, "method", lambda original, self: original(self).upper())

    on = {one.name for _ in range(2) for one in registry.apply("breaks,works")}
    assert tried == ["breaks"]
    assert on == {"works"} and REPAIRS["works"].changed == [f"{__name__}.Host.method"]
    assert Host().method() == "AS IT WAS" and not hasattr(Host, "added")
    assert capsys.readouterr().err == "paddleseg_ext: the repair breaks is left out: KeyError: 'unknown code'\n"
    registry.apply("none")
    assert Host().method() == "as it was"


def test_an_unknown_name_is_one_warning_and_the_rest_is_applied(scratch, capsys):
    for _ in range(2):
        on = registry.apply("lovasz_of_nothin, bce_without_edges")
        assert [one.name for one in on] == ["bce_without_edges"]
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "there is no repair 'lovasz_of_nothin' (did you mean 'lovasz_of_nothing'?); the others are applied" in told


def test_policies(scratch):
    names = [{one.name for one in registry.selected(policy)} for policy in ("needed", None, "", "all", "none")]
    needed = {one.name for one in REPAIRS.values() if one.needed}
    assert names == [needed, needed, needed, {one.name for one in REPAIRS.values() if one.useful}, set()]
    assert {one.name for one in registry.selected("needed,whole_checkpoints")} == {*needed, "whole_checkpoints"}
    assert needed if PADDLESEG_BEFORE_2_9 else not needed


def test_versions_outside_the_range_are_one_line(scratch, monkeypatch, capsys):
    monkeypatch.setattr(registry, "PADDLESEG", registry._paddleseg_version("2.5.0"))
    registry.apply("none")
    told = capsys.readouterr().err
    assert told == (
        "paddleseg_ext: PaddleSeg 2.5.0: older than the supported Paddle >= 2.6 and PaddleSeg >= 2.8: "
        "all that works with them is registered\n"
    )


@pytest.mark.parametrize(
    "text, at_least", [("2.6.2", "2.6.2"), ("3.3.1", "3.3.1"), ("0.0.0", "9999"), ("0.0.0.dev0", "9999"), ("?", "9999")]
)
def test_builds_without_a_version_count_as_the_newest(text, at_least):
    assert str(registry._version(text)) == at_least


def test_rewriting_unknown_code(scratch):
    from paddleseg.core import train

    before = train.__code__
    with pytest.raises(ValueError, match="core.train.train has changed: it holds 'what nobody wrote' 0 times"):
        patching.rewrite(train, ("def train(", "def train ("), ("what nobody wrote", ""))
    assert train.__code__ is before


def test_one_log_line_names_what_is_on_when_a_training_starts(scratch, tmp_path, logged):
    registry.apply("needed,dice_loss_on_its_own_labels")
    run_trainer(tmp_path, iters=1)
    lines = [line for line in logged if "repairs that are on" in line]
    assert len(lines) == 1 and "dice_loss_on_its_own_labels" in lines[0]


def test_docs_list_every_repair_as_it_is():
    """docs/repairs.md; what a repair changes is compared where it is on."""
    rows = {}
    for line in (ROOT / "docs/repairs.md").read_text().splitlines():
        name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        if len(cells) == 5 and name.startswith("`"):
            rows[name.strip("`")] = cells
    assert list(rows) == list(REPAIRS)
    for name, (needed, useful, changes, reason, upstream) in rows.items():
        one = REPAIRS[name]
        assert (STACK in needed, STACK in useful) == (one.needed, one.useful), name
        assert (reason, upstream) == (one.reason, one.upstream)
        if one.is_on:
            assert set(one.changed) <= set(changes.replace("`", "").split("<br>")), name


def test_only_entry_points_import_the_host():
    allowed = {"__init__.py", "__main__.py", "command.py", "doctor.py"}
    users = [
        path.relative_to(ROOT / "paddleseg_ext").as_posix()
        for path in (ROOT / "paddleseg_ext").rglob("*.py")
        if "paddleseg_ext.host" in path.read_text() or "paddleseg_ext import host" in path.read_text()
    ]
    assert {user for user in users if not user.startswith("host/")} <= allowed
    files = {path.stem for path in (ROOT / "paddleseg_ext/host").glob("*.py")}
    assert files == {*FILES, "__init__", "registry", "patching"}
