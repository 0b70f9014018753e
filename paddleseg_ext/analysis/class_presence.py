"""How well the SE branch predicts which classes an image shows."""

from __future__ import annotations

import numpy as np
import paddle
from sklearn.metrics import average_precision_score
from tqdm import tqdm

from paddleseg_ext.command import UserError
from paddleseg_ext.losses.encoding_bce import present_classes
from paddleseg_ext.segmenter import training_outputs
from paddleseg_ext.tables import text_table


@paddle.no_grad()
def predict_present_classes(model: paddle.nn.Layer, dataset: paddle.io.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """The SE logits, and 1 for each class that the labels hold, else 0: both (images, classes)."""
    scores, present = [], []
    with training_outputs(model):
        for index in tqdm(range(len(dataset)), unit="image"):
            sample = dataset[index]
            outputs = model(paddle.to_tensor(sample["img"][np.newaxis]))
            logits = [output for output in outputs if isinstance(output, paddle.Tensor) and output.ndim == 2]
            if not logits or logits[0].shape[1] != dataset.num_classes:
                raise UserError(
                    f"{type(model).__name__} has no output that predicts which classes an image shows: take a network "
                    "with an SE branch (EncNet or ENCNet, without `use_se_loss: False`)"
                )
            labels = paddle.to_tensor(sample["label"][np.newaxis].astype("int64"))
            scores.append(logits[0][0].numpy())
            present.append(present_classes(labels, dataset.num_classes, dataset.ignore_index)[0].numpy())
    return np.stack(scores), np.stack(present)


def average_precision(scores: np.ndarray, present: np.ndarray) -> tuple[float, float]:
    """The means of average precision and prior over the classes that some images have and others do not.

    Raises:
        UserError: there is no such class.
    """
    precision, prior = _by_class(scores, present)
    if np.isnan(precision).all():
        raise UserError(f"every class is in all of the {len(present)} images or in none: there is nothing to rank")
    return float(np.nanmean(precision)), float(prior[~np.isnan(precision)].mean())


def _by_class(scores: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Average precision (nan of a class that all images have or none) and prior of each class."""
    prior = present.mean(axis=0)
    columns = zip(present.T, scores.T, prior)
    precision = [average_precision_score(*column) if 0 < share < 1 else np.nan for *column, share in columns]
    return np.array(precision), prior


def precision_table(scores: np.ndarray, present: np.ndarray, names: tuple[str, ...]) -> str:
    """Average precision of each class beside its prior, the share of images that have it, and the means.

    The prior is the average precision of a guess that gives every image the same score.

    Raises:
        UserError: there is no class that some images have and others do not.
    """
    mean_precision, mean_prior = average_precision(scores, present)
    precision, prior = _by_class(scores, present)
    rows = [*zip(names, prior, precision), ("mean", mean_prior, mean_precision)]
    cells = [[name, f"{share:.4f}", "-" if np.isnan(value) else f"{value:.4f}"] for name, share, value in rows]
    return text_table(["class", "prior", "average precision"], cells)
