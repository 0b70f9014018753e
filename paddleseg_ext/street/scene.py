"""Draws a synthetic street scene with Cityscapes' 19 train ids.

A scene is a street in metres (X right, Y up, Z forward; the camera looks along Z) made of flat polygons that a
pinhole camera projects, far ones first. Image and label map get the same polygons. An image depends on its
seed, split and index alone, and any `CYCLE` images in a row show all 19 classes.
"""

from __future__ import annotations

import cv2
import numpy as np

from paddleseg_ext.datasets.cityscapes_classes import IGNORE_INDEX, TrainId
from paddleseg_ext.datasets.lists import SPLITS
from paddleseg_ext.street.camera import SUPERSAMPLING, label_at_its_size, photograph
from paddleseg_ext.street.drawing import Scene, colour_of
from paddleseg_ext.street.people import draw_bicycle, draw_cyclist, draw_motorcycle, draw_motorcyclist, draw_person
from paddleseg_ext.street.posts import draw_lamp, draw_sign, draw_traffic_light
from paddleseg_ext.street.surroundings import draw_ground, draw_roadside, draw_sky, draw_tree
from paddleseg_ext.street.vehicles import draw_bus, draw_car, draw_tram, draw_truck

# What must be seen in the images of index 0, 1, 2, 3, 0, 1, ... modulo 4: together the 19 classes.
FEATURED = (
    (TrainId.TRAIN, TrainId.WALL, TrainId.MOTORCYCLE, TrainId.ROAD, TrainId.SKY, TrainId.POLE),
    (TrainId.BUS, TrainId.FENCE, TrainId.BICYCLE, TrainId.TRAFFIC_LIGHT, TrainId.BUILDING),
    (TrainId.TRUCK, TrainId.TERRAIN, TrainId.RIDER, TrainId.TRAFFIC_SIGN, TrainId.VEGETATION),
    (TrainId.CAR, TrainId.PERSON, TrainId.SIDEWALK),
)
CYCLE = len(FEATURED)
MIN_SHARE = 0.006  # of the image, that a featured class covers


def draw_picture(seed: int, split: str, index: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """One street scene.

    Args:
        seed: of the data set.
        split: one of `SPLITS`.
        index: of the image within its split.
        size: (width, height) in pixels.

    Returns:
        The image (H, W, 3), BGR, and its train ids (H, W) with 255 on the camera car's bonnet; uint8.
    """
    featured = FEATURED[index % CYCLE]
    attempt = 0
    while True:
        rng = np.random.default_rng([seed, SPLITS.index(split), index, attempt])
        scene = _draw_scene(rng, featured, size)
        label = label_at_its_size(scene)
        share = np.bincount(label.ravel(), minlength=256) / label.size
        if all(share[train_id] >= MIN_SHARE for train_id in featured):
            return photograph(scene, label), label
        attempt += 1  # something stands in front of it


def _draw_scene(rng, featured, size) -> Scene:
    width, height = size
    scene = Scene(rng, width * SUPERSAMPLING, height * SUPERSAMPLING)
    kerbs = (-rng.uniform(4.5, 7.0), rng.uniform(2.8, 4.2))  # the camera drives on the right
    pavement = rng.uniform(2.5, 4.0)
    draw_sky(scene)
    draw_ground(scene, kerbs, pavement)
    for side, kerb in zip((-1, 1), kerbs):
        draw_roadside(scene, featured, side, abs(kerb) + pavement)
    things = _place_things(rng, featured, kerbs, pavement)
    for draw, x, z in sorted(things, key=lambda thing: -thing[2]):
        draw(scene, x, z)
    if rng.random() < 0.35:
        _draw_bonnet(scene)
    return scene


def _place_things(rng, featured, kerbs, pavement: float) -> list:
    """(draw function, x, z) of everything that stands or drives."""
    left, right = kerbs
    middle = (left + right) / 2
    lanes = [(left + 1.5, middle - 1.4), (middle + 1.4, right - 1.4)]
    edges = [(left + 0.5, left + 1.2), (right - 1.2, right - 0.5)]
    pavements = [(left - pavement + 0.4, left - 0.6), (right + 0.6, right + pavement - 0.4)]
    kerbsides = [(left - 0.6, left - 0.3), (right + 0.3, right + 0.6)]
    things = []

    def add(draw, train_id, chance, places, depths):
        needed = train_id in featured
        while needed or rng.random() < chance:
            x, z = rng.uniform(*places[rng.integers(len(places))]), rng.uniform(*depths)
            things.append((draw, x, max(z, 1.7 * abs(x))))  # nearer it would be beside the image
            needed, chance = False, chance * 0.6

    add(draw_tram, TrainId.TRAIN, 0.25, lanes[:1], (10, 20))
    add(draw_bus, TrainId.BUS, 0.3, lanes, (10, 20))
    add(draw_truck, TrainId.TRUCK, 0.3, lanes, (10, 20))
    add(draw_car, TrainId.CAR, 0.95, lanes + edges, (8, 25))
    add(draw_motorcycle, TrainId.MOTORCYCLE, 0.3, edges + pavements, (6.5, 11))
    add(draw_bicycle, TrainId.BICYCLE, 0.3, edges + pavements, (6.5, 11))
    add(draw_motorcyclist, TrainId.RIDER, 0.3, lanes + edges, (6.5, 11))
    add(draw_cyclist, TrainId.RIDER, 0.3, lanes + edges, (6.5, 11))
    add(draw_person, TrainId.PERSON, 0.95, pavements + lanes, (6.5, 12))
    add(draw_lamp, TrainId.POLE, 0.9, kerbsides, (7.5, 22))
    add(draw_traffic_light, TrainId.TRAFFIC_LIGHT, 0.5, kerbsides, (7.5, 13))
    add(draw_sign, TrainId.TRAFFIC_SIGN, 0.6, kerbsides, (7.5, 13))
    add(draw_tree, TrainId.VEGETATION, 0.3, pavements, (14, 40))
    return things


def _draw_bonnet(scene: Scene) -> None:
    """The camera car itself, which Cityscapes ignores."""
    height, width = scene.label.shape
    centre, axes = (width // 2, round(height * 1.06)), (round(width * 0.45), round(height * 0.14))
    paint = colour_of(scene.rng, (60, 60, 62), (150, 150, 150), spread=8)
    cv2.ellipse(scene.image, centre, axes, 0, 0, 360, np.clip(paint, 0, 255).tolist(), -1)
    cv2.ellipse(scene.label, centre, axes, 0, 0, 360, IGNORE_INDEX, -1)
