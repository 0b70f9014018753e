"""Lamps, traffic lights and signs."""

from __future__ import annotations

import numpy as np

from paddleseg_ext.datasets.cityscapes_classes import TrainId
from paddleseg_ext.street.drawing import Face, Scene, colour_of


def _post(scene: Scene, x: float, z: float, height: float, thickness: float) -> Face:
    """A grey post, lit from one side; returns its face, whose origin is the foot."""
    face = Face(scene, x, z)
    grey = colour_of(scene.rng, (62, 62, 60), (75, 70, 62), spread=5)
    face.box(-thickness / 2, 0, thickness / 2, height, grey, TrainId.POLE)
    face.box(-thickness / 2, 0, -thickness / 5, height, grey * 1.8, TrainId.POLE)
    return face


def draw_lamp(scene: Scene, x: float, z: float) -> None:
    height = scene.rng.uniform(5.5, 8)
    face = _post(scene, x, z, height, thickness=0.42)
    arm = -1.6 * np.sign(x)
    face.limb((0, height - 0.1), (arm, height), 0.25, (80, 80, 78), TrainId.POLE)
    face.limb((arm, height), (1.35 * arm, height - 0.1), 0.3, (200, 225, 230), TrainId.POLE)


def draw_traffic_light(scene: Scene, x: float, z: float) -> None:
    rng, kind = scene.rng, TrainId.TRAFFIC_LIGHT
    bottom = rng.uniform(2.0, 2.8)
    face = _post(scene, x, z, bottom + 0.2, thickness=0.32)
    face.box(-0.5, bottom, 0.5, bottom + 1.9, (38, 42, 40), kind)
    lit = rng.integers(3)
    for lamp, colour in enumerate(((90, 210, 60), (40, 190, 245), (45, 40, 230))):
        face.ellipse(
            0, bottom + 0.36 + 0.59 * lamp, 0.25, 0.25, np.array(colour) * (1.0 if lamp == lit else 0.35), kind
        )


def draw_sign(scene: Scene, x: float, z: float) -> None:
    rng, kind = scene.rng, TrainId.TRAFFIC_SIGN
    up, white, red, blue = rng.uniform(2.4, 3.0), (235, 235, 235), (45, 35, 205), (190, 90, 20)
    face = _post(scene, x, z, up, thickness=0.3)
    shape = rng.integers(4)
    if shape == 0:  # limit
        face.ellipse(0, up, 0.75, 0.75, red, kind)
        face.ellipse(0, up, 0.5, 0.5, white, kind)
        face.box(-0.22, up - 0.22, 0.22, up + 0.22, (40, 40, 40), kind)
    elif shape == 1:  # warning
        for reach, colour in ((0.95, red), (0.5, white)):
            corners = [(-reach, up - 0.55 * reach), (reach, up - 0.55 * reach), (0, up + reach)]
            face.polygon(corners, colour, kind)
    elif shape == 2:  # crossing
        face.box(-0.7, up - 0.7, 0.7, up + 0.7, blue, kind)
        face.polygon([(-0.4, up - 0.4), (0.4, up - 0.4), (0, up + 0.5)], white, kind)
    else:  # direction
        face.ellipse(0, up, 0.75, 0.75, blue, kind)
        face.limb((0, up - 0.5), (0, up + 0.5), 0.25, white, kind)
