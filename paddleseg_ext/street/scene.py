"""Draws a synthetic street scene with Cityscapes' 19 train ids.

A scene is a street in metres (X right, Y up, Z forward; the camera looks along Z) made of flat polygons that a
pinhole camera projects, far ones first. Picture and label map get the same polygons. A picture depends on its
seed, split and index alone, and any `CYCLE` pictures in a row show all 19 classes.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from paddleseg_ext.datasets.cityscapes_classes import IGNORE_INDEX, TrainId
from paddleseg_ext.datasets.pairing import SPLITS

# What must be seen in the pictures of index 0, 1, 2, 3, 0, 1, ... modulo 4: together the 19 classes.
FEATURED = (
    (TrainId.TRAIN, TrainId.WALL, TrainId.MOTORCYCLE, TrainId.ROAD, TrainId.SKY, TrainId.POLE),
    (TrainId.BUS, TrainId.FENCE, TrainId.BICYCLE, TrainId.TRAFFIC_LIGHT, TrainId.BUILDING),
    (TrainId.TRUCK, TrainId.TERRAIN, TrainId.RIDER, TrainId.TRAFFIC_SIGN, TrainId.VEGETATION),
    (TrainId.CAR, TrainId.PERSON, TrainId.SIDEWALK),
)
CYCLE = len(FEATURED)
MIN_SHARE = 0.006  # of the picture, that a featured class covers

SUPERSAMPLING = 2
SUBPIXEL_BITS = 4
FAR = 140.0  # metres; where the street ends
CAMERA_HEIGHT = 2.0
CIRCLE = np.stack([f(np.linspace(0, 2 * np.pi, 16, endpoint=False)) for f in (np.cos, np.sin)])

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
        scene = _draw_scene(rng, featured, size)
        label = scene.label[SUPERSAMPLING // 2 :: SUPERSAMPLING, SUPERSAMPLING // 2 :: SUPERSAMPLING]
        label = np.ascontiguousarray(label)
        share = np.bincount(label.ravel(), minlength=256) / label.size
        if all(share[train_id] >= MIN_SHARE for train_id in featured):
            return _photograph(scene, label), label
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
        self.visibility = rng.uniform(130, 400)
        self.image = np.empty((height, width, 3), np.uint8)
        self.label = np.empty((height, width), np.uint8)

    def project(self, x, y, z) -> np.ndarray:
        """Metres (...) to OpenCV's fixed-point pixels (..., 2)."""
        pixels = np.empty((*np.shape(z), 2))
        pixels[..., 0] = self.vanishing[0] + self.focal * (x / z + self.bend * z)
        pixels[..., 1] = self.vanishing[1] + self.focal * (CAMERA_HEIGHT - y) / z
        return np.rint(pixels * (1 << SUBPIXEL_BITS)).astype(np.int32)

    def ground_position(self, rows: slice) -> tuple[np.ndarray, np.ndarray]:
        """X (R, W) and Z (R, 1) in metres of the ground that the pixels of some rows show."""
        v = np.arange(self.label.shape[0], dtype=np.float32)[rows, None] + 0.5
        u = np.arange(self.label.shape[1], dtype=np.float32) + 0.5
        z = self.focal * CAMERA_HEIGHT / (v - self.vanishing[1])
        return (u - self.vanishing[0]) * z / self.focal - self.bend * z**2, z

    def polygons(self, x, y, z, colour, train_id: int) -> None:
        """Fill polygons that do not overlap: x, y and z (M polygons, N corners) in metres, `colour` BGR, unhazed."""
        clear = math.exp(-float(np.mean(z)) / self.visibility)
        colour = [clear * c + (1 - clear) * h for c, h in zip(colour, self.haze)]
        pixels = self.project(x, y, z)
        cv2.fillPoly(self.image, pixels, colour, shift=SUBPIXEL_BITS)
        cv2.fillPoly(self.label, pixels, int(train_id), shift=SUBPIXEL_BITS)

    def shadow(self, x: float, z: float, width: float, length: float) -> None:
        """Darken an ellipse on the ground, from `z` forwards."""
        pixels = self.project(x + width / 2 * CIRCLE[0], 0, z + length / 2 * (1 + CIRCLE[1]))
        mask = np.zeros(self.label.shape, np.uint8)
        cv2.fillPoly(mask, pixels[None], 1, shift=SUBPIXEL_BITS)
        self.image[mask == 1] //= 2


class Face:
    """An upright plane of a scene with its own coordinates in metres: across and up, from its lower left corner."""

    def __init__(self, scene: Scene, x: float, z: float, across=(1.0, 0.0), light: float = 1.0):
        self.scene, self.x, self.z, self.across, self.light = scene, x, z, across, light

    def polygons(self, points, colour, train_id: int) -> None:
        """Fill polygons (M, N corners, 2) that do not overlap."""
        points = np.asarray(points, float)
        x = self.x + points[..., 0] * self.across[0]
        z = self.z + points[..., 0] * self.across[1]
        self.scene.polygons(x, points[..., 1], z, [self.light * c for c in colour], train_id)

    def polygon(self, points, colour, train_id: int) -> None:
        self.polygons([points], colour, train_id)

    def boxes(self, boxes, colour, train_id: int) -> None:
        """Fill rectangles (left, bottom, right, top) that do not overlap."""
        if len(boxes):
            self.polygons(np.asarray(boxes, float)[:, [(0, 1), (2, 1), (2, 3), (0, 3)]], colour, train_id)

    def box(self, left, bottom, right, top, colour, train_id: int) -> None:
        self.boxes([(left, bottom, right, top)], colour, train_id)

    def ellipse(self, across, up, radius_across, radius_up, colour, train_id: int) -> None:
        centre, radius = np.array([[across], [up]]), np.array([[radius_across], [radius_up]])
        self.polygon((centre + radius * CIRCLE).T, colour, train_id)

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


def _draw_scene(rng, featured, size) -> Scene:
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
    return scene


def _draw_sky(scene: Scene) -> None:
    rng = scene.rng
    top = _colour(rng, (215, 150, 95), (225, 190, 150), (190, 185, 182), (170, 140, 150))
    down = np.linspace(0, 1, round(scene.vanishing[1]) + 1, dtype=np.float32)[:, None, None]
    shape = (len(down), scene.label.shape[1])
    clouds = np.clip(_noise(rng, shape, shape[0] / 8), 0, 1.5)[..., None] * rng.uniform(5, 25)
    scene.image[: len(down)] = np.clip((1 - down) * top + down * scene.haze + clouds, 0, 255)
    scene.label[: len(down)] = TrainId.SKY


def _draw_ground(scene: Scene, kerbs, pavement: float) -> None:
    rng = scene.rng
    rows = slice(math.ceil(scene.vanishing[1]), None)
    x, z = scene.ground_position(rows)
    left, right = kerbs
    off_road = np.maximum(left - x, x - right)  # metres from the kerb
    on_pavement = (off_road >= 0) & (off_road < pavement)
    scene.label[rows] = np.where(off_road < 0, TrainId.ROAD, np.where(on_pavement, TrainId.SIDEWALK, TrainId.TERRAIN))

    asphalt = _colour(rng, (88, 85, 84), (72, 70, 72), (106, 104, 102), spread=6)
    paving = _colour(rng, (150, 152, 158), (140, 150, 172), (165, 160, 160), spread=6)
    earth = _colour(rng, (75, 140, 120), (85, 150, 145), (95, 135, 160), spread=8)
    joint = (np.mod(x, 0.9) < 0.08) | (np.mod(z, 0.9) < 0.1)
    dashed = np.mod(z + rng.uniform(0, 8), 8) < 4
    marks = ((np.abs(x - (left + right) / 2) < 0.12) & dashed) | (np.abs(off_road + 0.35) < 0.08)
    if rng.random() < 0.3:
        crossing = rng.uniform(8, 20)
        marks |= (np.abs(z - crossing) < 1.5) & (np.mod(x, 1.2) < 0.6) & (off_road < -0.4)

    colour = np.empty((*x.shape, 3), np.float32)
    colour[:] = asphalt
    colour[marks] = _colour(rng, (225, 225, 225), spread=8)
    colour[on_pavement] = paving
    colour[on_pavement & joint & (z < 25)] = 0.85 * paving
    colour[on_pavement & (off_road < 0.25)] = 1.2 * paving  # the kerb
    colour[off_road >= pavement] = earth
    clear = np.exp(-z / scene.visibility)[..., None]
    scene.image[rows] = np.clip(clear * colour + (1 - clear) * scene.haze, 0, 255)


def _draw_roadside(scene: Scene, featured, side: int, inner: float) -> None:
    """Everything beyond the pavement of one side: the end of the street, houses, then a lower row before them."""
    rng = scene.rng
    house_line = side * (inner + rng.uniform(3.0, 7.0))
    row_line = side * rng.uniform(inner + 0.4, abs(house_line) - 1.0)
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
            draw(scene, row_line, z, length)


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
    plaster = _colour(rng, (120, 155, 195), (140, 170, 190), (105, 120, 180), (165, 195, 215))
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
    sills, lefts = np.arange(1.0, height - storey, storey), np.arange(step * 0.3, length - pane_width, step)
    panes = np.array([(left, sill, left + pane_width, sill + pane_height) for sill in sills for left in lefts])
    bright = rng.random(len(panes)) < 0.3
    face.boxes(panes[bright], glass * 1.35, TrainId.BUILDING)
    face.boxes(panes[~bright], glass * 0.9, TrainId.BUILDING)


def _draw_wall(scene: Scene, x: float, z: float, length: float) -> None:
    rng = scene.rng
    height = rng.uniform(1.5, 2.6)
    stone = _colour(rng, (105, 108, 112), (92, 88, 88), spread=6)
    face = _along_street(scene, x, z)
    face.box(0, 0, length, height, stone, TrainId.WALL)
    face.box(0, height - 0.2, length, height, stone * 1.3, TrainId.WALL)
    courses = np.arange(0.35, height - 0.25, 0.4)
    joints = [(0, up, length, up + 0.07) for up in courses]
    for number, up in enumerate(courses[:-1]):
        joints += [(left, up + 0.07, left + 0.08, up + 0.4) for left in np.arange(0.5 * (number % 2), length, 1.0)]
    face.boxes(joints, stone * 0.6, TrainId.WALL)


def _draw_fence(scene: Scene, x: float, z: float, length: float) -> None:
    rng = scene.rng
    height = rng.uniform(1.3, 2.2)
    slat = _colour(rng, (45, 120, 200), (215, 220, 225), spread=10)
    face = _along_street(scene, x, z)
    face.box(0, 0, length, height, slat * 0.4, TrainId.FENCE)  # what shows through, in shade
    face.boxes([(left, 0, left + 0.28, height) for left in np.arange(0, length, 0.5)], slat, TrainId.FENCE)
    face.boxes([(0, up, length, up + 0.12) for up in (0.25, height - 0.35)], slat * 1.1, TrainId.FENCE)


def _leaves(face: Face, across, up, radius_across, radius_up, green, blobs: int) -> None:
    """A crown of leaves: blobs that get lighter towards the top, fewer when far away."""
    rng = face.scene.rng
    for step in np.sort(rng.uniform(-1, 1, math.ceil(blobs * min(1.0, 20 / face.z)))):
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
    lanes = [(left + 1.5, middle - 1.4), (middle + 1.4, right - 1.4)]
    edges = [(left + 0.5, left + 1.2), (right - 1.2, right - 0.5)]
    pavements = [(left - pavement + 0.4, left - 0.6), (right + 0.6, right + pavement - 0.4)]
    kerbsides = [(left - 0.6, left - 0.3), (right + 0.3, right + 0.6)]
    things = []

    def add(draw, train_id, chance, places, depths):
        needed = train_id in featured
        while needed or rng.random() < chance:
            x, z = rng.uniform(*places[rng.integers(len(places))]), rng.uniform(*depths)
            things.append((draw, x, max(z, 1.7 * abs(x))))  # nearer it would be beside the picture
            needed, chance = False, chance * 0.6

    add(_draw_tram, TrainId.TRAIN, 0.25, lanes[:1], (10, 20))
    add(_draw_bus, TrainId.BUS, 0.3, lanes, (10, 20))
    add(_draw_truck, TrainId.TRUCK, 0.3, lanes, (10, 20))
    add(_draw_car, TrainId.CAR, 0.95, lanes + edges, (8, 25))
    add(_draw_motorcycle, TrainId.MOTORCYCLE, 0.3, edges + pavements, (6.5, 11))
    add(_draw_bicycle, TrainId.BICYCLE, 0.3, edges + pavements, (6.5, 11))
    add(_draw_motorcyclist, TrainId.RIDER, 0.3, lanes + edges, (6.5, 11))
    add(_draw_cyclist, TrainId.RIDER, 0.3, lanes + edges, (6.5, 11))
    add(_draw_person, TrainId.PERSON, 0.95, pavements + lanes, (6.5, 12))
    add(_draw_lamp, TrainId.POLE, 0.9, kerbsides, (7.5, 22))
    add(_draw_traffic_light, TrainId.TRAFFIC_LIGHT, 0.5, kerbsides, (7.5, 13))
    add(_draw_sign, TrainId.TRAFFIC_SIGN, 0.6, kerbsides, (7.5, 13))
    add(_draw_tree, TrainId.VEGETATION, 0.3, pavements, (14, 40))
    return things


GLASS = (85, 70, 55)
TYRE = (30, 30, 32)


def _vehicle(scene: Scene, x: float, z: float, width: float, length: float) -> tuple[Face, Face]:
    """The flank that the camera sees and the end that faces it, of a box around (x, z)."""
    scene.shadow(x, z - 0.3, width * 1.15, length)
    return _along_street(scene, x - np.sign(x) * width / 2, z), Face(scene, x - width / 2, z)


def _wheels(flank: Face, places, radius: float, train_id: int) -> None:
    for across in places:
        flank.ellipse(across, radius, radius, radius, TYRE, train_id)
        flank.ellipse(across, radius, radius * 0.5, radius * 0.5, (140, 140, 140), train_id)


def _lights(end: Face, width: float, up: float, away: bool, train_id: int) -> None:
    """Red tail lights, or white head lights of what comes towards the camera."""
    colour = (50, 40, 215) if away else (225, 245, 250)
    for left in (0.06 * width, 0.8 * width):
        end.box(left, up, left + 0.14 * width, up + 0.16, colour, train_id)


def _draw_car(scene: Scene, x: float, z: float) -> None:
    rng, kind = scene.rng, TrainId.CAR
    width, length, waist, roof = 1.85, 4.3, rng.uniform(0.9, 1.0), rng.uniform(1.4, 1.65)
    paint = _colour(rng, (40, 35, 175), (150, 75, 35), (55, 50, 50), (150, 150, 150))
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


def _draw_truck(scene: Scene, x: float, z: float) -> None:
    """A tarpaulin without windows, and a cab where its front is seen."""
    rng, kind = scene.rng, TrainId.TRUCK
    width, length, floor, top = 2.5, 8.0, 0.9, rng.uniform(3.2, 3.7)
    tarpaulin = _colour(rng, (30, 125, 235), (70, 150, 40))
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


def _draw_bus(scene: Scene, x: float, z: float) -> None:
    rng, kind = scene.rng, TrainId.BUS
    width, length, top = 2.55, 9.0, 3.1
    paint = _colour(rng, (40, 200, 235), (50, 50, 215))
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


def _draw_tram(scene: Scene, x: float, z: float) -> None:
    """White above and coloured below, with a slanting windscreen; it comes towards the camera."""
    rng, kind = scene.rng, TrainId.TRAIN
    width, length, top = 2.6, 24.0, 3.5
    stripe = _colour(rng, (170, 60, 40), (140, 40, 120))
    white = _colour(rng, (225, 228, 228), spread=6)
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


def _figure(face: Face, hip: float, lean: float, clothes, hat, train_id: int) -> None:
    """Trunk, arms and head of somebody, from the hip up; the head is `lean` metres ahead of it."""
    skin = _colour(face.scene.rng, (135, 165, 215), (90, 120, 165), (60, 80, 115), spread=6)
    shoulder, head = (0.75 * lean, hip + 0.52), (lean, hip + 0.78)
    face.limb((0, hip - 0.05), shoulder, 0.54, clothes, train_id)
    face.limb(shoulder, (shoulder[0] + lean + 0.12, hip + 0.1), 0.16, clothes * 0.8, train_id)
    face.ellipse(*head, 0.14, 0.17, skin, train_id)
    face.ellipse(head[0] - 0.02, head[1] + 0.08, 0.15, 0.11, hat, train_id)


def _draw_person(scene: Scene, x: float, z: float) -> None:
    rng, kind = scene.rng, TrainId.PERSON
    clothes = _colour(rng, (50, 50, 200), (190, 60, 160))
    trousers = _colour(rng, (95, 60, 45), (50, 50, 55), (70, 85, 110))
    scene.shadow(x, z - 0.2, 0.8, 0.5)
    face = Face(scene, x, z)
    stride = rng.uniform(0.05, 0.28)
    for foot in (-stride, stride):
        face.limb((foot / 3, 0.95), (foot, 0.02), 0.24, trousers, kind)
    _figure(face, 0.92, rng.uniform(-0.04, 0.04), clothes, _colour(rng, (35, 45, 60), (90, 130, 170), spread=8), kind)


def _cycle_face(scene: Scene, x: float, z: float) -> Face:
    """A face for a cycle: seen from the side or half turned, heading left or right."""
    scene.shadow(x, z - 0.3, 1.7, 0.6)
    turn = scene.rng.uniform(-0.8, 0.8)
    heading = 1 if scene.rng.random() < 0.5 else -1
    return Face(scene, x, z, across=(heading * np.cos(turn), np.sin(turn)))


def _bicycle_on(face: Face) -> None:
    """A bicycle around the face's origin; its wheels are labelled as discs, as Cityscapes does."""
    kind = TrainId.BICYCLE
    frame = _colour(face.scene.rng, (50, 200, 60), (215, 195, 40), spread=10)
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
    paint = _colour(face.scene.rng, (30, 30, 170), (40, 110, 220), (140, 50, 30), spread=10)
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
    jacket = _colour(face.scene.rng, (60, 220, 210), (50, 140, 240), (90, 240, 160), spread=8)
    face.limb((-0.15, hip), (0.25, hip - 0.25), 0.2, (60, 45, 40), kind)
    face.limb((0.25, hip - 0.25), (0.05, 0.35), 0.18, (60, 45, 40), kind)
    seat = Face(face.scene, face.x - 0.15 * face.across[0], face.z - 0.15 * face.across[1], face.across)
    _figure(seat, hip, 0.32, jacket, helmet, kind)


def _draw_bicycle(scene: Scene, x: float, z: float) -> None:
    _bicycle_on(_cycle_face(scene, x, z))


def _draw_motorcycle(scene: Scene, x: float, z: float) -> None:
    _motorcycle_on(_cycle_face(scene, x, z))


def _draw_cyclist(scene: Scene, x: float, z: float) -> None:
    face = _cycle_face(scene, x, z)
    _bicycle_on(face)
    _rider_on(face, 1.0, helmet=(225, 225, 230))


def _draw_motorcyclist(scene: Scene, x: float, z: float) -> None:
    face = _cycle_face(scene, x, z)
    _motorcycle_on(face)
    _rider_on(face, 0.92, helmet=(40, 40, 45))


def _post(scene: Scene, x: float, z: float, height: float, thickness: float) -> Face:
    """A grey post, lit from one side; returns its face, whose origin is the foot."""
    face = Face(scene, x, z)
    grey = _colour(scene.rng, (62, 62, 60), (75, 70, 62), spread=5)
    face.box(-thickness / 2, 0, thickness / 2, height, grey, TrainId.POLE)
    face.box(-thickness / 2, 0, -thickness / 5, height, grey * 1.8, TrainId.POLE)
    return face


def _draw_lamp(scene: Scene, x: float, z: float) -> None:
    height = scene.rng.uniform(5.5, 8)
    face = _post(scene, x, z, height, thickness=0.42)
    arm = -1.6 * np.sign(x)
    face.limb((0, height - 0.1), (arm, height), 0.25, (80, 80, 78), TrainId.POLE)
    face.limb((arm, height), (1.35 * arm, height - 0.1), 0.3, (200, 225, 230), TrainId.POLE)


def _draw_traffic_light(scene: Scene, x: float, z: float) -> None:
    rng, kind = scene.rng, TrainId.TRAFFIC_LIGHT
    bottom = rng.uniform(2.0, 2.8)
    face = _post(scene, x, z, bottom + 0.2, thickness=0.32)
    face.box(-0.5, bottom, 0.5, bottom + 1.9, (38, 42, 40), kind)
    lit = rng.integers(3)
    for lamp, colour in enumerate(((90, 210, 60), (40, 190, 245), (45, 40, 230))):
        face.ellipse(
            0, bottom + 0.36 + 0.59 * lamp, 0.25, 0.25, np.array(colour) * (1.0 if lamp == lit else 0.35), kind
        )


def _draw_sign(scene: Scene, x: float, z: float) -> None:
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


def _draw_bonnet(scene: Scene) -> None:
    """The camera car itself, which Cityscapes ignores."""
    height, width = scene.label.shape
    centre, axes = (width // 2, round(height * 1.06)), (round(width * 0.45), round(height * 0.14))
    paint = _colour(scene.rng, (60, 60, 62), (150, 150, 150), spread=8)
    cv2.ellipse(scene.image, centre, axes, 0, 0, 360, np.clip(paint, 0, 255).tolist(), -1)
    cv2.ellipse(scene.label, centre, axes, 0, 0, 360, IGNORE_INDEX, -1)


# ----------------------------------------------------------------------------------------------------- the camera


def _noise(rng, shape, grain: float) -> np.ndarray:
    """Smooth noise (H, W) of deviation ~ 1 whose blobs are `grain` pixels wide."""
    coarse = [max(2, round(side / grain)) for side in shape]
    return cv2.resize(rng.standard_normal(coarse, np.float32), shape[::-1], interpolation=cv2.INTER_CUBIC)


def _photograph(scene: Scene, label: np.ndarray) -> np.ndarray:
    """Scale a drawn scene down to its label's size and add surface texture, light, colour cast and sensor noise."""
    rng, (height, width) = scene.rng, label.shape
    image = cv2.resize(scene.image, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)

    amplitude = np.array([GRAIN.get(train_id, DEFAULT_GRAIN) for train_id in TrainId] + [DEFAULT_GRAIN], np.float32)
    amplitude = amplitude[np.minimum(label, len(TrainId))]
    for level, grain in enumerate((1, 4, 12)):
        image += (amplitude[..., level] * _noise(rng, (height, width), grain * height / 128))[..., None]

    exposure, contrast = rng.uniform(0.8, 1.15), rng.uniform(0.9, 1.15)
    image = (image - 110) * contrast + 110
    image *= exposure * rng.uniform(0.95, 1.05, 3).astype(np.float32)
    slope = np.linspace(-1, 1, width, dtype=np.float32) * rng.uniform(-0.1, 0.1)
    image *= (1 + slope)[None, :, None]
    if rng.random() < 0.4:
        image = cv2.GaussianBlur(image, (3, 3), 0)
    image += rng.normal(0, rng.uniform(1, 5), image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)
