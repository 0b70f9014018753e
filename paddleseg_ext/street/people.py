"""Pedestrians, cycles and their riders."""

from __future__ import annotations

import numpy as np

from paddleseg_ext.datasets.cityscapes_classes import TrainId
from paddleseg_ext.street.drawing import Face, Scene, colour_of


def _figure(face: Face, hip: float, lean: float, clothes, hat, train_id: int) -> None:
    """Trunk, arms and head of somebody, from the hip up; the head is `lean` metres ahead of it."""
    skin = colour_of(face.scene.rng, (135, 165, 215), (90, 120, 165), (60, 80, 115), spread=6)
    shoulder, head = (0.75 * lean, hip + 0.52), (lean, hip + 0.78)
    face.limb((0, hip - 0.05), shoulder, 0.54, clothes, train_id)
    face.limb(shoulder, (shoulder[0] + lean + 0.12, hip + 0.1), 0.16, clothes * 0.8, train_id)
    face.ellipse(*head, 0.14, 0.17, skin, train_id)
    face.ellipse(head[0] - 0.02, head[1] + 0.08, 0.15, 0.11, hat, train_id)


def draw_person(scene: Scene, x: float, z: float) -> None:
    rng, kind = scene.rng, TrainId.PERSON
    clothes = colour_of(rng, (50, 50, 200), (190, 60, 160))
    trousers = colour_of(rng, (95, 60, 45), (50, 50, 55), (70, 85, 110))
    scene.shadow(x, z - 0.2, 0.8, 0.5)
    face = Face(scene, x, z)
    stride = rng.uniform(0.05, 0.28)
    for foot in (-stride, stride):
        face.limb((foot / 3, 0.95), (foot, 0.02), 0.24, trousers, kind)
    _figure(face, 0.92, rng.uniform(-0.04, 0.04), clothes, colour_of(rng, (35, 45, 60), (90, 130, 170), spread=8), kind)


def _cycle_face(scene: Scene, x: float, z: float) -> Face:
    """A face for a cycle: seen from the side or half turned, heading left or right."""
    scene.shadow(x, z - 0.3, 1.7, 0.6)
    turn = scene.rng.uniform(-0.8, 0.8)
    heading = 1 if scene.rng.random() < 0.5 else -1
    return Face(scene, x, z, across=(heading * np.cos(turn), np.sin(turn)))


def _bicycle_on(face: Face) -> None:
    """A bicycle around the face's origin; its wheels are labelled as discs, as Cityscapes does."""
    kind = TrainId.BICYCLE
    frame = colour_of(face.scene.rng, (50, 200, 60), (215, 195, 40), spread=10)
    for hub in (-0.58, 0.58):
        face.ellipse(hub, 0.38, 0.38, 0.38, (35, 35, 35), kind)
        face.ellipse(hub, 0.38, 0.3, 0.3, (150, 155, 150), kind)
    for start, end in (
        ((-0.58, 0.38), (-0.15, 0.85)),
        ((-0.58, 0.38), (0.05, 0.38)),
        ((0.05, 0.38), (-0.15, 0.95)),
        ((0.05, 0.38), (0.42, 0.85)),
        ((-0.15, 0.85), (0.42, 0.85)),
        ((0.58, 0.38), (0.4, 1.05)),
    ):
        face.limb(start, end, 0.1, frame, kind)
    face.limb((-0.3, 0.97), (0.0, 0.97), 0.1, (30, 30, 30), kind)
    face.limb((0.3, 1.05), (0.5, 1.05), 0.08, (30, 30, 30), kind)


def _motorcycle_on(face: Face) -> None:
    kind = TrainId.MOTORCYCLE
    paint = colour_of(face.scene.rng, (30, 30, 170), (40, 110, 220), (140, 50, 30), spread=10)
    for hub in (-0.7, 0.7):
        face.ellipse(hub, 0.34, 0.34, 0.34, (22, 22, 24), kind)
        face.ellipse(hub, 0.34, 0.12, 0.12, (150, 150, 155), kind)
    face.polygon([(-0.6, 0.35), (0.5, 0.3), (0.6, 0.8), (-0.7, 0.8)], (50, 50, 52), kind)
    face.ellipse(0.1, 0.82, 0.4, 0.2, paint, kind)
    face.polygon([(-0.85, 0.75), (-0.2, 0.75), (-0.2, 0.92), (-0.95, 0.98)], paint * 0.8, kind)
    face.limb((0.7, 0.34), (0.45, 1.15), 0.14, (120, 120, 125), kind)
    face.ellipse(0.58, 0.98, 0.13, 0.13, (200, 240, 250), kind)


def _rider_on(face: Face, hip: float, helmet) -> None:
    kind = TrainId.RIDER
    jacket = colour_of(face.scene.rng, (60, 220, 210), (50, 140, 240), (90, 240, 160), spread=8)
    face.limb((-0.15, hip), (0.25, hip - 0.25), 0.2, (60, 45, 40), kind)
    face.limb((0.25, hip - 0.25), (0.05, 0.35), 0.18, (60, 45, 40), kind)
    seat = Face(face.scene, face.x - 0.15 * face.across[0], face.z - 0.15 * face.across[1], face.across)
    _figure(seat, hip, 0.32, jacket, helmet, kind)


def draw_bicycle(scene: Scene, x: float, z: float) -> None:
    _bicycle_on(_cycle_face(scene, x, z))


def draw_motorcycle(scene: Scene, x: float, z: float) -> None:
    _motorcycle_on(_cycle_face(scene, x, z))


def draw_cyclist(scene: Scene, x: float, z: float) -> None:
    face = _cycle_face(scene, x, z)
    _bicycle_on(face)
    _rider_on(face, 1.0, helmet=(225, 225, 230))


def draw_motorcyclist(scene: Scene, x: float, z: float) -> None:
    face = _cycle_face(scene, x, z)
    _motorcycle_on(face)
    _rider_on(face, 0.92, helmet=(40, 40, 45))
