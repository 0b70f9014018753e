"""How well the SE branch predicts which classes a picture shows."""

from __future__ import annotations

import numpy as np
import paddle
from prettytable import PrettyTable
from sklearn.metrics import average_precision_score
from tqdm import tqdm

from paddleseg_ext.command import UserError
from paddleseg_ext.losses.encoding_bce import class_presence
from paddleseg_ext.segmenter import training_outputs


@paddle.no_grad()
def predict_presence(model: paddle.nn.Layer, dataset: paddle.io.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """The SE logits and the presence of each class by the labels, both (pictures, classes)."""
    scores, present = [], []
    with training_outputs(model):
        for index in tqdm(range(len(dataset)), unit="picture"):
            sample = dataset[index]
            outputs = model(paddle.to_tensor(sample["img"][np.newaxis]))
            logits = [output for output in outputs if isinstance(output, paddle.Tensor) and output.ndim == 2]
            if not logits or logits[0].shape[1] != dataset.num_classes:
                raise UserError(
                    f"{type(model).__name__} has no output that predicts which classes a picture shows: take a network "
                    "with an SE branch (EncNet or ENCNet, without `use_se_loss: False`)"
                )
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
    table = PrettyTable(["class", "prior", "average precision"], align="r", border=False)
    table.align["class"] = "l"
    for c, name in enumerate(names):
        table.add_row([name, f"{prior[c]:.4f}", f"{precision[c]:.4f}" if telling[c] else "-"])
    table.add_row(["mean", *(f"{mean:.4f}" for mean in reversed(average_precision(scores, present)))])
    return table.get_string()
