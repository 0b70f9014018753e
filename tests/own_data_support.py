"""What the tests of own data share: images with labels in a folder, and labelme's JSON of a label."""

import base64
import io
import json

import cv2
import numpy as np
from PIL import Image

NUM_CLASSES, SIZE = 4, (96, 64)  # width, height
COLOURS = np.array([(120, 60, 60), (60, 140, 60), (60, 60, 160), (200, 200, 60)], np.uint8)


def make_label(seed, size=SIZE):
    """Class 0 with an ellipse, a rectangle and a disc of the others, one over the other."""
    rng = np.random.default_rng(seed)
    label = np.zeros(size[::-1], np.uint8)
    for layer, _ in layers(rng, size):
        label[layer > 0] = layer.max()
    return label


def layers(rng, size):
    """(H, W) uint8 with one class each, and its name."""
    width, height = size
    for index in (1, 2, 3):
        layer = np.zeros((height, width), np.uint8)
        centre = (int(rng.integers(width // 5, 4 * width // 5)), int(rng.integers(height // 5, 4 * height // 5)))
        if index == 2:
            cv2.rectangle(layer, centre, (centre[0] + 14, centre[1] + 9), index, -1)
        else:
            cv2.ellipse(layer, centre, (width // 6, height // (4 + index)), 30 * index, 0, 360, index, -1)
        yield layer, f"thing {index}"


def make_picture(label, seed=0):
    noise = np.random.default_rng(seed).integers(0, 40, (*label.shape, 3))
    return Image.fromarray((COLOURS[np.minimum(label, 3)] + noise).astype(np.uint8))


def write_pair(root, picture, label, seed):
    """A JPEG or PNG image and its PNG label under the names given; the label."""
    classes = make_label(seed)
    for name in (picture, label):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
    make_picture(classes, seed).save(root / picture)
    if label is not None:
        Image.fromarray(classes).save(root / label)
    return classes


def write_flat(root, count=12, name="p{}"):
    for i in range(count):
        write_pair(root, f"images/{name.format(i)}.jpg", f"masks/{name.format(i)}.png", i)
    return root


def labelme_json(seed, picture, size=SIZE, as_mask=()):
    """The polygons of `make_label(seed)`, traced as an annotator would; classes `as_mask` as labelme's masks."""
    shapes = []
    for layer, name in layers(np.random.default_rng(seed), size):
        if layer.max() in as_mask:
            x, y, width, height = cv2.boundingRect(layer)
            buffer = io.BytesIO()
            Image.fromarray(layer[y : y + height, x : x + width] > 0).save(buffer, "PNG")
            points = [[x, y], [x + width - 1, y + height - 1]]
            mask = base64.b64encode(buffer.getvalue()).decode()
            shapes.append({"label": name, "points": points, "shape_type": "mask", "mask": mask})
            continue
        (contour,), _ = cv2.findContours(layer, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        shapes.append({"label": name, "points": contour[:, 0].tolist(), "shape_type": "polygon"})
    content = {"version": "5.0.1", "flags": {}, "shapes": shapes, "imagePath": picture, "imageData": None}
    return json.dumps({**content, "imageWidth": size[0], "imageHeight": size[1]})
