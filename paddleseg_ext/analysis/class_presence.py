"""Does the SE branch know which classes a picture shows?"""

from __future__ import annotations

import argparse

import numpy as np
import paddle
from sklearn.metrics import average_precision_score
from tqdm import tqdm

from paddleseg_ext.analysis.pictures import Classes
from paddleseg_ext.analysis.segmentation import training_outputs
from paddleseg_ext.builder import Builder, load_config, load_network
from paddleseg_ext.command import UserError
from paddleseg_ext.losses.encoding_bce import class_presence


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", help="the YAML of a network with an SE branch")
    parser.add_argument("--model_path", help="trained weights (.pdparams)")
    parser.add_argument("--device", default="gpu", choices=["cpu", "gpu", "xpu", "npu", "mlu"])


def main(args: argparse.Namespace) -> int:
    config = load_config(args.config)
    model = load_network(config, args.model_path, args.device)
    scores, present = predict_presence(model, Builder(config).val_dataset)
    print(presence_table(scores, present, Classes.of(config).names))
    return 0


@paddle.no_grad()
def predict_presence(model: paddle.nn.Layer, dataset: paddle.io.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """The SE logits and the presence of each class by the labels, both (pictures, classes)."""
    scores, present = [], []
    with training_outputs(model):
        for index in tqdm(range(len(dataset)), unit="picture"):
            sample = dataset[index]
            logits = [output for output in model(paddle.to_tensor(sample["img"][np.newaxis])) if output.ndim == 2]
            if not logits:
                raise UserError(f"{type(model).__name__} has no SE branch: set use_se_loss in the model of the config")
            labels = paddle.to_tensor(sample["label"][np.newaxis].astype("int64"))
            scores.append(logits[0][0].numpy())
            present.append(class_presence(labels, dataset.num_classes, dataset.ignore_index)[0].numpy())
    return np.stack(scores), np.stack(present)


def average_precision(scores: np.ndarray, present: np.ndarray) -> tuple[float, float]:
    """The means of average precision and prior over the classes that tell pictures apart; see `presence_table`."""
    prior = present.mean(axis=0)
    telling = np.flatnonzero((prior > 0) & (prior < 1))
    precision = [average_precision_score(present[:, c], scores[:, c]) for c in telling]
    return float(np.mean(precision)), float(prior[telling].mean())


def presence_table(scores: np.ndarray, present: np.ndarray, names: tuple[str, ...]) -> str:
    """Average precision of each class beside its prior: the share of pictures that have it, which is the average
    precision of whoever gives every picture the same score. The mean is over the classes that tell pictures apart."""
    prior = present.mean(axis=0)
    telling = (prior > 0) & (prior < 1)
    if not telling.any():
        raise UserError(f"every class is in all of the {len(present)} pictures or in none: there is nothing to rank")
    precision = np.array(
        [average_precision_score(present[:, c], scores[:, c]) if telling[c] else np.nan for c in range(len(names))]
    )
    width = max(map(len, names))
    lines = [f"{'class':{width}}  {'prior':>6}  {'average precision':>17}"]
    for c, name in enumerate(names):
        value = f"{precision[c]:.4f}" if telling[c] else "-"
        lines.append(f"{name:{width}}  {prior[c]:6.4f}  {value:>17}")
    mean_precision, mean_prior = average_precision(scores, present)
    lines.append(f"{'mean':{width}}  {mean_prior:6.4f}  {mean_precision:17.4f}")
    return "\n".join(lines)
