"""Cars, trucks, buses and trams."""

from __future__ import annotations

import numpy as np

from paddleseg_ext.datasets.cityscapes_classes import TrainId
from paddleseg_ext.street.drawing import Face, Scene, along_street, colour_of

GLASS = (85, 70, 55)
TYRE = (30, 30, 32)


def _vehicle(scene: Scene, x: float, z: float, width: float, length: float) -> tuple[Face, Face]:
    """The flank that the camera sees and the end that faces it, of a box around (x, z)."""
    scene.shadow(x, z - 0.3, width * 1.15, length)
    return along_street(scene, x - np.sign(x) * width / 2, z), Face(scene, x - width / 2, z)


def _wheels(flank: Face, places, radius: float, train_id: int) -> None:
    for across in places:
        flank.ellipse(across, radius, radius, radius, TYRE, train_id)
        flank.ellipse(across, radius, radius * 0.5, radius * 0.5, (140, 140, 140), train_id)


def _lights(end: Face, width: float, up: float, away: bool, train_id: int) -> None:
    """Red tail lights, or white head lights of what comes towards the camera."""
    colour = (50, 40, 215) if away else (225, 245, 250)
    for left in (0.06 * width, 0.8 * width):
        end.box(left, up, left + 0.14 * width, up + 0.16, colour, train_id)


def draw_car(scene: Scene, x: float, z: float) -> None:
    rng, kind = scene.rng, TrainId.CAR
    width, length, waist, roof = 1.85, 4.3, rng.uniform(0.9, 1.0), rng.uniform(1.4, 1.65)
    paint = colour_of(rng, (40, 35, 175), (150, 75, 35), (55, 50, 50), (150, 150, 150))
    flank, end = _vehicle(scene, x, z, width, length)
    flank.box(0, 0.25, length, waist, paint, kind)
    flank.polygon([(0.4, waist), (0.9, roof), (2.8, roof), (3.4, waist)], paint * 0.9, kind)
    flank.polygon([(0.7, waist), (1.0, roof - 0.1), (2.7, roof - 0.1), (3.1, waist)], GLASS, kind)
    _wheels(flank, (0.8, length - 0.8), 0.33, kind)
    rear = Face(scene, end.x, z + 0.6)
    rear.polygon([(0.1, waist), (0.3, roof), (width - 0.3, roof), (width - 0.1, waist)], paint, kind)
    rear.polygon([(0.25, waist), (0.4, roof - 0.1), (width - 0.4, roof - 0.1), (width - 0.25, waist)], GLASS, kind)
    deck = np.array([[(0, 0), (width, 0), (width, 0.6), (0, 0.6)]])  # the boot's lid: across and forward
    scene.polygons(end.x + deck[..., 0], waist, z + deck[..., 1], paint * 1.15, kind)
    end.box(0, 0.25, width, waist, paint * 0.95, kind)
    end.box(0, 0.22, width, 0.42, paint * 0.5, kind)
    end.box(0.65, 0.48, 1.2, 0.62, (210, 215, 215), kind)
    _lights(end, width, waist - 0.25, x > -1, kind)
    for left in (0.1, width - 0.35):
        end.box(left, 0, left + 0.25, 0.25, TYRE, kind)


def draw_truck(scene: Scene, x: float, z: float) -> None:
    """A tarpaulin without windows, and a cab where its front is seen."""
    rng, kind = scene.rng, TrainId.TRUCK
    width, length, floor, top = 2.5, 8.0, 0.9, rng.uniform(3.2, 3.7)
    tarpaulin = colour_of(rng, (30, 125, 235), (70, 150, 40))
    away = x > -1
    flank, end = _vehicle(scene, x, z, width, length)
    cargo = (0, length - 2.2) if away else (2.2, length)
    cab = (length - 2.0, length) if away else (0, 2.0)
    flank.box(0, 0.5, length, floor, (55, 55, 60), kind)
    flank.box(cargo[0], floor, cargo[1], top, tarpaulin, kind)
    ribs = np.arange(cargo[0], cargo[1], 0.9)
    flank.boxes([(across, floor, across + 0.1, top) for across in ribs], tarpaulin * 0.75, kind)
    flank.box(cab[0], 0.5, cab[1], 2.7, tarpaulin * 0.6, kind)
    flank.box(cab[0] + 0.3, 1.6, cab[1] - 0.4, 2.4, GLASS, kind)
    _wheels(flank, (1.0, length - 2.6, length - 1.2), 0.5, kind)
    if away:
        end.box(0, floor, width, top, tarpaulin * 0.92, kind)
        end.box(width / 2 - 0.05, floor, width / 2 + 0.05, top, tarpaulin * 0.55, kind)
        end.box(0.1, 0.5, width - 0.1, floor, (50, 50, 55), kind)
        for edge in (0, width - 0.12):
            end.box(edge, floor, edge + 0.12, top, tarpaulin * 0.65, kind)
    else:
        Face(scene, end.x, z + 2.2).box(0, floor, width, top, tarpaulin * 0.92, kind)
        end.box(0.05, 0.5, width - 0.05, 2.7, tarpaulin * 0.6, kind)
        end.box(0.25, 1.6, width - 0.25, 2.45, GLASS, kind)
        end.box(0.5, 0.7, width - 0.5, 1.2, (60, 60, 65), kind)
    _lights(end, width, 0.62, away, kind)
    for left in (0.1, width - 0.5):
        end.box(left, 0, left + 0.4, 0.5, TYRE, kind)


def draw_bus(scene: Scene, x: float, z: float) -> None:
    rng, kind = scene.rng, TrainId.BUS
    width, length, top = 2.55, 9.0, 3.1
    paint = colour_of(rng, (40, 200, 235), (50, 50, 215))
    flank, end = _vehicle(scene, x, z, width, length)
    flank.box(0, 0.35, length, top, paint, kind)
    flank.boxes([(across, 1.5, across + 1.2, 2.5) for across in np.arange(0.3, length - 1, 1.4)], GLASS, kind)
    flank.box(0, 0.35, length, 0.6, paint * 0.5, kind)
    _wheels(flank, (1.6, length - 2.0), 0.48, kind)
    end.box(0, 0.35, width, top, paint * 0.95, kind)
    end.box(0.15, 1.4, width - 0.15, 2.5, GLASS, kind)
    end.box(0.4, 2.62, width - 0.4, 2.95, (40, 40, 40), kind)
    end.box(0.6, 2.7, 1.5, 2.87, (60, 200, 240), kind)  # line and destination
    end.box(0, 0.35, width, 0.6, paint * 0.5, kind)
    _lights(end, width, 0.75, x > -1, kind)
    for left in (0.1, width - 0.5):
        end.box(left, 0, left + 0.4, 0.4, TYRE, kind)


def draw_tram(scene: Scene, x: float, z: float) -> None:
    """White above and coloured below, with a slanting windscreen; it comes towards the camera."""
    rng, kind = scene.rng, TrainId.TRAIN
    width, length, top = 2.6, 24.0, 3.5
    stripe = colour_of(rng, (170, 60, 40), (140, 40, 120))
    white = colour_of(rng, (225, 228, 228), spread=6)
    flank, end = _vehicle(scene, x, z, width, length)
    flank.box(0, 0.2, length, top, white, kind)
    flank.box(0, 0.2, length, 1.3, stripe, kind)
    flank.boxes([(across, 1.6, across + 1.7, 2.7) for across in np.arange(0.8, length - 1, 2.0)], GLASS, kind)
    end.polygon([(0, 0.2), (width, 0.2), (width, 2.6), (width - 0.3, top), (0.3, top), (0, 2.6)], white, kind)
    end.box(0, 0.2, width, 1.3, stripe, kind)
    end.polygon([(0.2, 1.5), (width - 0.2, 1.5), (width - 0.4, 2.9), (0.4, 2.9)], GLASS, kind)
    end.box(0.7, 3.0, width - 0.7, 3.3, (50, 60, 70), kind)
    end.box(0.9, 3.07, width - 0.9, 3.23, (60, 200, 240), kind)
    _lights(end, width, 0.8, False, kind)
