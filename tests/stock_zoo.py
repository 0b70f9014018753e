"""Runs every family of PaddleSeg's own networks and prints docs/stock_networks.md's table:

    python tests/stock_zoo.py PADDLESEG/configs > table.md

PADDLESEG is a checkout of the release whose `paddleseg` is installed, since the wheel has no YAMLs. One YAML a family,
the smallest by its name, with synthetic images and without downloads. Each family gets a process of its own, which
trains one iteration with PaddleSeg's trainer (forward, losses, backward, optimiser, log, checkpoint), evaluates two
images and exports with `paddle.jit` as PaddleSeg's tools/export.py does, for images of any size or, where that
fails, of one size (`--input_shape`); the exported network must give the logits of the trained one. Exits with the
number of families that failed.

The environment decides what is measured: PADDLESEG_EXT_AUTOLOAD=0 leaves the plugin out, PADDLESEG_EXT_REPAIRS says
which repairs are on.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STAGES = ("train", "evaluate", "export")
SIDE = 96  # pixels; networks with an output stride of 32 keep 3 x 3
NEED_WEIGHTS = ("CAE", "VisionTransformer", "ViT_")  # backbones that cannot be built without pretrained weights
SMALL = re.compile(r"tiny|small|slim|resnet18|hrnetw18|mini|_b0|_s_|stdc1")
LARGE = re.compile(r"large|_base_|resnet101|w48|_b5")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", type=Path, help="the folder `configs` of a PaddleSeg checkout")
    parser.add_argument("families", nargs="*", help="only these sub-folders of it (default: all)")
    parser.add_argument("--seconds", type=int, default=300, help="time limit of a family (default: %(default)s)")
    parser.add_argument("--gigabytes", type=float, default=8, help="memory limit of a family (default: %(default)s)")
    args = parser.parse_args()

    families = args.families or sorted(folder.name for folder in args.configs.iterdir() if folder.is_dir())
    print("| family | configuration | trains | evaluates | exports | reason |\n|---|---|---|---|---|---|", flush=True)
    working = []
    for family in families:
        config = smallest(args.configs / family)
        if config is None:  # nothing to train, as in _base_
            continue
        done = run(config, args.seconds, args.gigabytes)
        cells = ["yes" if done.get(stage) == "" else "**no**" if stage in done else "-" for stage in STAGES]
        if "sizes" in done:
            cells[-1] = "one size"
        reasons = "; ".join(dict.fromkeys(done[key] for key in (*STAGES, "sizes") if done.get(key)))
        print(f"| {family} | {config.stem} | {' | '.join(cells)} | {reasons} |", flush=True)
        print(f"{family}: {done['seconds']:.0f} s, {done.get('gigabytes', 0):.1f} GB", file=sys.stderr, flush=True)
        working.append([done.get(stage) == "" for stage in STAGES])
    trained, evaluated, exported = map(sum, zip(*working))
    print(f"\n{len(working)} families: {trained} train, {evaluated} evaluate, {exported} export.")
    return sum(not all(stages) for stages in working)


def smallest(folder: Path) -> Path | None:
    """The YAML of the smallest network by its name, among those that say what is trained on what."""
    import yaml

    def merged(path):
        dic = yaml.safe_load(path.read_text()) or {}
        base = dic.pop("_base_", [])
        for name in [base] if isinstance(base, str) else base:
            dic = {**merged(path.parent / name), **dic}
        return dic

    files = [path for path in sorted(folder.glob("*.yml")) if {"model", "loss", "train_dataset"} <= set(merged(path))]
    size = [(1 - bool(SMALL.search(f"{path.stem}_")) + 2 * bool(LARGE.search(path.stem)), path) for path in files]
    return min(size)[1] if size else None


def run(config: Path, seconds: float, gigabytes: float) -> dict:
    """What the process of `config` reported: a stage's reason for failing, "" where it works."""
    begin = time.time()
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, __file__, "--family", str(config.resolve()), folder, str(gigabytes)],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=seconds)
            ending = "" if process.returncode == 0 else died(process.returncode, output)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            ending = f"more than {seconds} s"
        report = Path(folder, "report.json")
        done = json.loads(report.read_text()) if report.exists() else {}
    if ending:
        done.setdefault(next((stage for stage in STAGES if stage not in done), STAGES[-1]), ending)
    return {**done, "seconds": time.time() - begin}


def died(code: int, output: str) -> str:
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return shortened(output.strip().splitlines()[-1]) if output.strip() else f"ended with status {code}"


def shortened(message: str, length: int = 160) -> str:
    """The telling line of an error as a cell of the table."""
    lines = [line.strip() for line in message.splitlines() if line.strip()] or [""]
    told = [line for line in lines[1:] if re.match(r"\w*(Error|error): ", line)]  # what a traceback ends with
    line = lines[-1] if "The error message is:" in message else (told or lines)[0]
    line = re.sub(r"\s*\[Hint:.*|\s*\(at /.*", "", line).replace("|", "\\|")
    return line if len(line) <= length else line[:length].rsplit(" ", 1)[0] + " …"


# what runs in the process of one family


def run_family(config: Path, folder: Path, gigabytes: float) -> None:
    limit = int(gigabytes * 2**30)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    import numpy as np
    import paddle
    from paddleseg.core import evaluate, train
    from paddleseg.cvlibs import Config, SegBuilder

    paddle.set_device("cpu")
    paddle.seed(0)
    np.random.seed(0)
    done: dict = {}

    def stage(name, function):
        try:
            function()
            done[name] = ""
        except Exception as error:
            done[name] = reason(error)
        done["gigabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        (folder / "report.json").write_text(json.dumps(done))

    def trained():
        dataset = synthetic(builder.train_dataset_class, builder, small["train_dataset"], folder, "train")
        train(
            builder.model,
            dataset,
            optimizer=builder.optimizer,
            losses=builder.loss,
            save_dir=str(folder / "output"),
            iters=1,
            batch_size=2,
            log_iters=1,
        )

    def evaluated():
        dataset = synthetic(builder.train_dataset_class, builder, small["val_dataset"], folder, "val")
        evaluate(builder.model, dataset, print_detail=False, **small.get("test_config", {}))

    def exported():
        try:
            export([None, 3, None, None])
        except Exception as error:
            export([1, 3, SIDE, SIDE])
            done["sizes"] = f"export of any size: {reason(error)}"

    def export(shape):
        model = builder.model
        if shape[0]:  # the first export left its traces in that one
            model = SegBuilder(Config(str(folder / "small.yml"))).model
            model.set_state_dict(builder.model.state_dict())
        model.eval()
        picture = paddle.to_tensor(np.random.default_rng(1).standard_normal((1, 3, SIDE, SIDE)).astype("float32"))
        with paddle.no_grad():
            expected = model(picture)[0].numpy()
        path = str(folder / "exported")
        paddle.jit.save(paddle.jit.to_static(model, input_spec=[paddle.static.InputSpec(shape, "float32")]), path)
        got = paddle.jit.load(path)(picture)
        got = (got[0] if isinstance(got, (list, tuple)) else got).numpy()
        difference = np.abs(got - expected).max() / max(np.abs(expected).max(), 1e-6)
        if not difference < 1e-3:
            raise RuntimeError(f"the exported network differs by {difference:.1e} of the largest logit")

    import yaml

    weights = str(folder / "no_weights.pdparams")
    paddle.save({}, weights)
    small = shrunk(Config(str(config)).dic, weights)

    (folder / "small.yml").write_text(yaml.safe_dump(small))
    builder = SegBuilder(Config(str(folder / "small.yml")))
    for name, function in zip(STAGES, (trained, evaluated, exported)):
        stage(name, function)


def reason(error: Exception) -> str:
    """The last line of PaddleSeg that `error` went through, as `models/gscnn.py:193`, and its message."""
    import traceback

    import paddleseg

    message = shortened(f"{type(error).__name__}: {error}")
    root = Path(paddleseg.__file__).parent
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if root in Path(frame.filename).parents]
    places = [(Path(frame.filename).relative_to(root), frame.lineno) for frame in frames]
    places += re.findall(r'File ".*/paddleseg/(\S+\.py)", line (\d+)', str(error))  # of code that paddle.jit transforms
    return f"{places[-1][0]}:{places[-1][1]}: {message}" if places else message


def shrunk(node, weights: str, key: str | None = None):
    """A configuration with every size at `SIDE` and without downloads; what needs weights gets the file `weights`."""
    if isinstance(node, dict):
        small = {name: shrunk(value, weights, name) for name, value in node.items() if name != "pretrained"}
        if str(node.get("type")).startswith(NEED_WEIGHTS):
            small["pretrained"] = weights
        if node.get("type") == "Padding":
            small["target_size"] = [2 * SIDE, 2 * SIDE]
        return small
    if isinstance(node, list):
        sizes = {name: [SIDE, SIDE] for name in ("crop_size", "target_size")}
        sizes.update(stride=[SIDE * 3 // 4] * 2, short_size=SIDE)
        return sizes[key] if key in sizes else [shrunk(value, weights) for value in node]
    return {"short_size": SIDE, "long_size": SIDE, "img_size": SIDE, "max_size": 2 * SIDE}.get(key, node)


def synthetic(dataset_class, builder, config: dict, folder: Path, mode: str):
    """A `paddleseg.datasets.Dataset` with the transforms of `config` over two drawn images."""
    import numpy as np
    from paddleseg.datasets import Dataset
    from PIL import Image

    num_classes = getattr(dataset_class, "NUM_CLASSES", None) or config["num_classes"]
    width, height = (SIDE, SIDE) if mode == "train" or "common_transforms" in config else (SIDE + 32, SIDE)
    rng = np.random.default_rng(0)
    lines = []
    for index in range(2):
        label = rng.integers(0, num_classes, (height // 32, width // 32)).repeat(32, 0).repeat(32, 1)
        picture = (label[..., None] * [37, 71, 113] % 256 + rng.integers(-8, 8, (height, width, 3))).clip(0, 255)
        if mode == "train":  # PaddleSeg's AUC, with which some evaluate, takes no ignored pixels
            label[:4] = 255
        for name, values in ((f"{mode}_picture{index}.png", picture), (f"{mode}_label{index}.png", label)):
            Image.fromarray(values.astype("uint8")).save(folder / name)
        lines.append(f"{mode}_picture{index}.png {mode}_label{index}.png\n")
    (folder / f"{mode}.txt").write_text("".join(lines))
    steps = config.get("transforms") or [*config["common_transforms"], *(config["transforms2"] or [])]
    return Dataset(
        mode,
        str(folder),
        [builder.build_component(step) for step in steps],
        num_classes,
        edge=config.get("edge", False),
        **{f"{mode}_path": str(folder / f"{mode}.txt")},
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--family"]:
        run_family(Path(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4]))
    else:
        sys.exit(main())
