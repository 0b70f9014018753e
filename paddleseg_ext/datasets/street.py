"""Draws synthetic street scenes with Cityscapes' 19 train ids, in Cityscapes' folder layout.

A scene is a street in metres (X right, Y up, Z forward; the camera looks along Z) made of flat polygons that a
pinhole camera projects, far ones first. Picture and label map get the same polygons. A picture depends on its
seed, split and index alone, and any `CYCLE` pictures in a row show all 19 classes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from paddleseg_ext.command import UserError
from paddleseg_ext.datasets.cityscapes_classes import IGNORE_INDEX, TrainId, train_ids_to_label_ids

SPLITS = ("train", "val", "test")

# What must be seen in the pictures of index 0, 1, 2, 3, 0, 1, ... modulo 4: together the 19 classes.
FEATURED = (
    (TrainId.TRAIN, TrainId.WALL, TrainId.MOTORCYCLE, TrainId.ROAD, TrainId.SKY, TrainId.POLE),
    (TrainId.BUS, TrainId.FENCE, TrainId.BICYCLE, TrainId.TRAFFIC_LIGHT, TrainId.BUILDING),
    (TrainId.TRUCK, TrainId.TERRAIN, TrainId.RIDER, TrainId.TRAFFIC_SIGN, TrainId.VEGETATION),
    (TrainId.CAR, TrainId.PERSON, TrainId.SIDEWALK),
)
CYCLE = len(FEATURED)
MIN_SHARE = 0.003  # of the picture, that a featured class covers

SUPERSAMPLING = 2
SUBPIXEL_BITS = 4
FAR = 140.0  # metres; where the street ends
CAMERA_HEIGHT = 2.0

# Deviation of the brightness noise of each class in grey levels, at 1, 4 and 12 pixels of a picture 128 high.
GRAIN = {
    TrainId.ROAD: (7, 2, 3),
    TrainId.SIDEWALK: (5, 4, 3),
    TrainId.BUILDING: (4, 4, 4),
    TrainId.WALL: (9, 8, 3),
    TrainId.FENCE: (4, 3, 2),
    TrainId.VEGETATION: (16, 14, 6),
    TrainId.TERRAIN: (11, 5, 9),
    TrainId.SKY: (0, 0, 4),
}
DEFAULT_GRAIN = (3, 2, 2)


def draw_picture(seed: int, split: str, index: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """One street scene.

    Args:
        seed: of the data set.
        split: one of `SPLITS`.
        index: of the picture within its split.
        size: (width, height) in pixels.

    Returns:
        The picture (H, W, 3), BGR, and its train ids (H, W) with 255 on the camera car's bonnet; uint8.
    """
    featured = FEATURED[index % CYCLE]
    attempt = 0
    while True:
        rng = np.random.default_rng([seed, SPLITS.index(split), index, attempt])
        image, label = _draw_scene(rng, featured, size)
        share = np.bincount(label.ravel(), minlength=256) / label.size
        if all(share[train_id] >= MIN_SHARE for train_id in featured):
            return image, label
        attempt += 1  # something stands in front of it


class Scene:
    """A picture and its label map, on which polygons in metres are drawn."""

    def __init__(self, rng: np.random.Generator, width: int, height: int):
        self.rng = rng
        self.focal = width * rng.uniform(0.72, 0.85)
        self.vanishing = np.array([width * rng.uniform(0.38, 0.62), height * rng.uniform(0.38, 0.48)])
        self.bend = rng.uniform(-0.0012, 0.0012)  # the street is X = -bend * Z * Z
        self.sun_left = rng.random() < 0.5
        self.haze = rng.uniform(170, 225) * np.array([1.03, 1.0, 0.97])
        self.visibility = rng.uniform(90, 300)
        self.image = np.empty((height, width, 3), np.uint8)
        self.label = np.empty((height, width), np.uint8)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Points (N, 3) in metres to pixels (N, 2)."""
        x, y, z = points.T
        u = self.vanishing[0] + self.focal * (x / z + self.bend * z)
        v = self.vanishing[1] - self.focal * (y - CAMERA_HEIGHT) / z
        return np.stack([u, v], axis=1)

    def ground_position(self) -> tuple[np.ndarray, np.ndarray]:
        """X and Z in metres that each pixel would show if all were ground; Z is infinite above the horizon."""
        v, u = np.mgrid[: self.label.shape[0], : self.label.shape[1]] + 0.5
        below = v - self.vanishing[1]
        z = np.where(below > 0, self.focal * CAMERA_HEIGHT / np.maximum(below, 1e-6), np.inf)
        z_near = np.minimum(z, 10 * FAR)
        return (u - self.vanishing[0]) * z_near / self.focal - self.bend * z_near**2, z

    def polygon(self, points: np.ndarray, colour, train_id: int) -> None:
        """Fill a polygon; `points` (N, 3) in metres, `colour` BGR before haze."""
        points = np.asarray(points, float)
        clearness = np.exp(-points[:, 2].mean() / self.visibility)
        colour = clearness * np.asarray(colour) + (1 - clearness) * self.haze
        pixels = np.round(self.project(points) * (1 << SUBPIXEL_BITS)).astype(np.int32)[None]
        cv2.fillPoly(self.image, pixels, np.clip(colour, 0, 255).tolist(), shift=SUBPIXEL_BITS)
        cv2.fillPoly(self.label, pixels, int(train_id), shift=SUBPIXEL_BITS)

    def shadow(self, x: float, z: float, width: float, length: float) -> None:
        """Darken an ellipse on the ground."""
        turn = np.linspace(0, 2 * np.pi, 24)
        points = np.stack([x + width / 2 * np.cos(turn), 0 * turn, z + length / 2 * (1 + np.sin(turn))], axis=1)
        mask = np.zeros(self.label.shape, np.uint8)
        cv2.fillPoly(mask, self.project(points).astype(np.int32)[None], 1)
        self.image[mask == 1] = self.image[mask == 1] * 0.55


class Face:
    """An upright plane of a scene with its own coordinates in metres: across and up, from its lower left corner."""

    def __init__(self, scene: Scene, x: float, z: float, across=(1.0, 0.0), light: float = 1.0):
        self.scene, self.x, self.z, self.across, self.light = scene, x, z, across, light

    def polygon(self, points, colour, train_id: int) -> None:
        across, up = np.asarray(points, float).T
        points = np.stack([self.x + across * self.across[0], up, self.z + across * self.across[1]], axis=1)
        self.scene.polygon(points, self.light * np.asarray(colour), train_id)

    def box(self, left, bottom, right, top, colour, train_id: int) -> None:
        self.polygon([(left, bottom), (right, bottom), (right, top), (left, top)], colour, train_id)

    def ellipse(self, across, up, radius_across, radius_up, colour, train_id: int) -> None:
        turn = np.linspace(0, 2 * np.pi, 17)[:-1]
        self.polygon(
            np.stack([across + radius_across * np.cos(turn), up + radius_up * np.sin(turn)], axis=1), colour, train_id
        )

    def limb(self, start, end, width, colour, train_id: int) -> None:
        """A straight bar from `start` to `end`, both (across, up)."""
        start, end = np.asarray(start, float), np.asarray(end, float)
        along = end - start
        normal = np.array([-along[1], along[0]]) / np.hypot(*along) * width / 2
        self.polygon([start - normal, end - normal, end + normal, start + normal], colour, train_id)


def _along_street(scene: Scene, x: float, z: float) -> Face:
    """A face parallel to the street, from `z` forwards; the sun lights one side of the street."""
    return Face(scene, x, z, across=(0.0, 1.0), light=1.08 if (x > 0) == scene.sun_left else 0.72)


def _colour(rng: np.random.Generator, *choices, spread: float = 14) -> np.ndarray:
    """One of the BGR colours, varied."""
    return np.asarray(choices[rng.integers(len(choices))], float) + rng.normal(0, spread, 3)


# ---------------------------------------------------------------------------------------- the scene, back to front


def _draw_scene(rng, featured, size) -> tuple[np.ndarray, np.ndarray]:
    width, height = size
    scene = Scene(rng, width * SUPERSAMPLING, height * SUPERSAMPLING)
    kerbs = (-rng.uniform(4.5, 7.0), rng.uniform(2.8, 4.2))  # the camera drives on the right
    pavement = rng.uniform(2.5, 4.0)
    _draw_sky(scene)
    _draw_ground(scene, kerbs, pavement)
    for side, kerb in zip((-1, 1), kerbs):
        _draw_roadside(scene, featured, side, abs(kerb) + pavement)
    things = _place_things(rng, featured, kerbs, pavement)
    for draw, x, z in sorted(things, key=lambda thing: -thing[2]):
        draw(scene, x, z)
    if rng.random() < 0.35:
        _draw_bonnet(scene)
    return _photograph(rng, scene, size)


def _draw_sky(scene: Scene) -> None:
    rng = scene.rng
    top = _colour(rng, (215, 150, 95), (225, 190, 150), (190, 185, 182), (170, 140, 150))
    down = np.linspace(0, 1, scene.label.shape[0])[:, None, None]
    down = np.clip(down * scene.label.shape[0] / scene.vanishing[1], 0, 1)
    sky = (1 - down) * top + down * scene.haze
    clouds = np.clip(_noise(rng, scene.label.shape, scene.label.shape[0] / 6), 0, 1.5)[..., None]
    scene.image[:] = np.clip(sky + clouds * rng.uniform(5, 30), 0, 255)
    scene.label[:] = TrainId.SKY


def _draw_ground(scene: Scene, kerbs, pavement: float) -> None:
    rng = scene.rng
    x, z = scene.ground_position()
    left, right = kerbs
    off_road = np.maximum(left - x, x - right)  # metres from the kerb

    asphalt, paving = _colour(rng, (88, 85, 84), (72, 70, 72), (106, 104, 102), spread=6), None
    paving = _colour(rng, (150, 152, 158), (140, 150, 172), (165, 160, 160), spread=6)
    earth = _colour(rng, (75, 140, 120), (85, 150, 145), (95, 135, 160), spread=8)
    colour = np.where((off_road < 0)[..., None], asphalt, np.where((off_road < pavement)[..., None], paving, earth))

    joint = (np.mod(x, 0.9) < 0.08) | (np.mod(z, 0.9) < 0.1)
    colour[joint & (off_road > 0) & (off_road < pavement) & (z < 25)] *= 0.85
    colour[(off_road > 0) & (off_road < 0.25)] = paving * 1.2
    middle = (left + right) / 2
    dashes = np.mod(z + rng.uniform(0, 8), 8) < 4
    marks = ((np.abs(x - middle) < 0.12) & dashes) | (np.abs(off_road + 0.35) < 0.08)
    if rng.random() < 0.3:
        crossing = rng.uniform(8, 20)
        marks |= (np.abs(z - crossing) < 1.5) & (np.mod(x, 1.2) < 0.6) & (off_road < -0.4)
    colour[marks & (off_road < 0)] = _colour(rng, (225, 225, 225), spread=8)

    ground = np.isfinite(z)
    clearness = np.exp(-np.where(ground, z, FAR) / scene.visibility)[..., None]
    scene.image[ground] = np.clip(clearness * colour + (1 - clearness) * scene.haze, 0, 255)[ground]
    kind = np.where(off_road < 0, TrainId.ROAD, np.where(off_road < pavement, TrainId.SIDEWALK, TrainId.TERRAIN))
    scene.label[ground] = kind[ground]


def _draw_roadside(scene: Scene, featured, side: int, inner: float) -> None:
    """Everything beyond the pavement of one side: the end of the street, houses, then a lower row before them."""
    rng = scene.rng
    house_line = side * (inner + rng.uniform(2.0, 6.0))
    _draw_street_end(scene, side)
    for z, length in _segments(rng, nearest=5, length=(9, 22), gap_share=0.25):
        _draw_building(scene, house_line, z, length)
    if rng.random() < 0.5:
        for z in np.arange(FAR * 0.7, 8, -rng.uniform(9, 16)):
            _draw_tree(scene, side * rng.uniform(inner + 0.5, abs(house_line)), z)

    rows = {TrainId.WALL: _draw_wall, TrainId.FENCE: _draw_fence, TrainId.VEGETATION: _draw_hedge, None: None}
    wanted = [kind for kind in (TrainId.WALL, TrainId.FENCE) if kind in featured]
    kinds = wanted if wanted else list(rows)
    for z, length in _segments(rng, nearest=5, length=(8, 18), gap_share=0.2):
        draw = rows[kinds[rng.integers(len(kinds))]]
        if draw is not None:
            draw(scene, side * (inner + 0.4), z, length)


def _segments(rng, nearest, length, gap_share):
    """(z, length) of consecutive pieces along the street, far ones first, some left out."""
    pieces, z = [], nearest + rng.uniform(0, 2)
    while z < FAR:
        piece = rng.uniform(*length)
        if rng.random() >= gap_share:
            pieces.append((z, piece))
        z += piece
    return pieces[::-1]


def _draw_street_end(scene: Scene, side: int) -> None:
    rng = scene.rng
    face = Face(scene, 0, FAR)
    if rng.random() < 0.5:
        for _ in range(12):
            face.ellipse(side * rng.uniform(0, 50), rng.uniform(2, 7), 8, 6, (70, 110, 80), TrainId.VEGETATION)
    else:
        face.box(side * 60, 0, -side * 2, rng.uniform(6, 16), (130, 130, 145), TrainId.BUILDING)


def _draw_building(scene: Scene, x: float, z: float, length: float) -> None:
    rng = scene.rng
    height = rng.uniform(7, 17)
    plaster = _colour(rng, (120, 150, 190), (150, 165, 175), (90, 105, 165), (170, 190, 205), (125, 125, 130))
    glass = _colour(rng, (95, 80, 65), (140, 120, 100), (60, 55, 55))
    trim = plaster * rng.uniform(0.6, 0.85)

    end = Face(scene, x, z, across=(float(np.sign(x)), 0.0))
    end.box(0, 0, 30, height, plaster * 0.9, TrainId.BUILDING)
    face = _along_street(scene, x, z)
    face.box(0, 0, length, height, plaster, TrainId.BUILDING)
    face.box(0, height - 0.5, length, height, trim, TrainId.BUILDING)
    face.box(0, 0, length, 0.8, trim, TrainId.BUILDING)
    storey, step = rng.uniform(2.8, 3.4), rng.uniform(2.2, 3.4)
    pane_width, pane_height = step * rng.uniform(0.4, 0.65), storey * rng.uniform(0.45, 0.65)
    for sill in np.arange(1.0, height - storey, storey):
        for left in np.arange(step * 0.3, length - pane_width, step):
            pane = glass * rng.uniform(0.7, 1.3)
            face.box(left, sill, left + pane_width, sill + pane_height, pane, TrainId.BUILDING)


def _draw_wall(scene: Scene, x: float, z: float, length: float) -> None:
    rng = scene.rng
    height = rng.uniform(1.5, 2.6)
    stone = _colour(rng, (105, 115, 125), (120, 125, 150), (90, 100, 110), spread=8)
    face = _along_street(scene, x, z)
    face.box(0, 0, length, height, stone, TrainId.WALL)
    face.box(0, height - 0.2, length, height, stone * 1.3, TrainId.WALL)
    courses = np.arange(0.35, height - 0.2, 0.4)
    for number, up in enumerate(courses):
        face.box(0, up, length, up + 0.07, stone * 0.6, TrainId.WALL)
        for across in np.arange(0.5 * (number % 2), length, 1.0):
            face.box(across, up, across + 0.08, up + 0.4, stone * 0.6, TrainId.WALL)


def _draw_fence(scene: Scene, x: float, z: float, length: float) -> None:
    rng = scene.rng
    height = rng.uniform(1.3, 2.2)
    slat = _colour(rng, (70, 110, 165), (205, 210, 215), (95, 125, 150), spread=10)
    face = _along_street(scene, x, z)
    face.box(0, 0, length, height, slat * 0.4, TrainId.FENCE)  # what shows through, in shade
    for across in np.arange(0, length, 0.5):
        face.box(across, 0, across + 0.28, height, slat * rng.uniform(0.9, 1.1), TrainId.FENCE)
    for up in (0.25, height - 0.35):
        face.box(0, up, length, up + 0.12, slat * 1.1, TrainId.FENCE)


def _leaves(face: Face, across, up, radius_across, radius_up, green, blobs: int) -> None:
    """A crown of leaves: blobs that get lighter towards the top."""
    rng = face.scene.rng
    for step in np.sort(rng.uniform(-1, 1, blobs)):
        reach = np.sqrt(1 - 0.8 * step**2)
        face.ellipse(
            across + rng.uniform(-0.8, 0.8) * reach * radius_across,
            up + 0.75 * step * radius_up,
            radius_across * rng.uniform(0.25, 0.45),
            radius_up * rng.uniform(0.22, 0.4),
            green * (0.85 + 0.35 * step + rng.uniform(-0.15, 0.15)),
            TrainId.VEGETATION,
        )


def _green(rng) -> np.ndarray:
    return _colour(rng, (45, 105, 60), (40, 90, 75), (60, 120, 70), (45, 110, 110), spread=8)


def _draw_hedge(scene: Scene, x: float, z: float, length: float) -> None:
    rng = scene.rng
    height, green = rng.uniform(1.2, 2.2), _green(rng)
    face = _along_street(scene, x, z)
    face.box(0, 0, length, height * 0.8, green * 0.8, TrainId.VEGETATION)
    for across in np.arange(length, 0, -1.2):
        _leaves(face, across, height * 0.55, 0.9, height * 0.5, green, blobs=7)


def _draw_tree(scene: Scene, x: float, z: float) -> None:
    rng = scene.rng
    height, spread = rng.uniform(4.5, 8), rng.uniform(1.4, 2.6)
    face = Face(scene, x, z)
    face.limb((0, 0), (rng.uniform(-0.3, 0.3), height * 0.6), 0.35, (50, 65, 85), TrainId.VEGETATION)
    _leaves(face, 0, height * 0.68, spread, height * 0.33, _green(rng), blobs=30)


# ------------------------------------------------------------------------------------ things on road and pavement


def _place_things(rng, featured, kerbs, pavement: float) -> list:
    """(draw function, x, z) of everything that stands or drives."""
    left, right = kerbs
    middle = (left + right) / 2
    things = []

    def add(draw, train_id, chance, xs, zs):
        while rng.random() < chance or (train_id in featured and all(thing[0] is not draw for thing in things)):
            things.append((draw, rng.uniform(*xs[rng.integers(len(xs))]), rng.uniform(*zs)))
            chance *= 0.6

    lanes = [(left + 1.4, middle - 1.2), (middle + 1.2, right - 1.2)]
    edges = [(left + 0.5, left + 1.2), (right - 1.2, right - 0.5), lanes[0], lanes[1]]
    pavements = [(left - pavement + 0.4, left - 0.5), (right + 0.5, right + pavement - 0.4)]
    kerbsides = [(left - 0.7, left - 0.3), (right + 0.3, right + 0.7)]
    add(_draw_tram, TrainId.TRAIN, 0.2, [lanes[0]], (13, 26))
    add(_draw_bus, TrainId.BUS, 0.25, lanes, (13, 26))
    add(_draw_truck, TrainId.TRUCK, 0.25, lanes, (13, 26))
    add(_draw_car, TrainId.CAR, 0.95, lanes + edges[:2], (9, 40))
    add(_draw_motorcycle, TrainId.MOTORCYCLE, 0.4, edges, (6.5, 14))
    add(_draw_bicycle, TrainId.BICYCLE, 0.5, edges + pavements, (6.5, 14))
    add(_draw_person, TrainId.PERSON, 0.9, pavements + pavements + lanes, (7, 20))
    add(_draw_lamp, TrainId.POLE, 0.9, kerbsides, (8, 30))
    add(_draw_traffic_light, TrainId.TRAFFIC_LIGHT, 0.5, kerbsides, (8, 16))
    add(_draw_sign, TrainId.TRAFFIC_SIGN, 0.6, kerbsides, (8, 16))
    add(_draw_street_tree, None, 0.4, pavements, (12, 40))
    # no rider without a cycle: both ride in featured pictures
    if TrainId.RIDER in featured:
        ride = (_draw_ridden_bicycle, _draw_ridden_motorcycle)[rng.integers(2)]
        things.append((ride, rng.uniform(*lanes[rng.integers(2)]), rng.uniform(6.5, 11)))
    return things
