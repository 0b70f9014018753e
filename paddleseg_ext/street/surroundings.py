"""Sky, ground and roadside: the houses, walls, fences, hedges and trees along the street."""

from __future__ import annotations

import math

import numpy as np

from paddleseg_ext.datasets.cityscapes_classes import TrainId
from paddleseg_ext.street.camera import smooth_noise
from paddleseg_ext.street.drawing import Face, Scene, along_street, colour_of

FAR = 140.0  # metres; where the street ends


def draw_sky(scene: Scene) -> None:
    rng = scene.rng
    top = colour_of(rng, (215, 150, 95), (225, 190, 150), (190, 185, 182), (170, 140, 150))
    down = np.linspace(0, 1, round(scene.vanishing[1]) + 1, dtype=np.float32)[:, None, None]
    shape = (len(down), scene.label.shape[1])
    clouds = np.clip(smooth_noise(rng, shape, shape[0] / 8), 0, 1.5)[..., None] * rng.uniform(5, 25)
    scene.image[: len(down)] = np.clip((1 - down) * top + down * scene.haze + clouds, 0, 255)
    scene.label[: len(down)] = TrainId.SKY


def draw_ground(scene: Scene, kerbs, pavement: float) -> None:
    rng = scene.rng
    rows = slice(math.ceil(scene.vanishing[1]), None)
    x, z = scene.ground_position(rows)
    left, right = kerbs
    off_road = np.maximum(left - x, x - right)  # metres from the kerb
    on_pavement = (off_road >= 0) & (off_road < pavement)
    scene.label[rows] = np.where(off_road < 0, TrainId.ROAD, np.where(on_pavement, TrainId.SIDEWALK, TrainId.TERRAIN))

    asphalt = colour_of(rng, (88, 85, 84), (72, 70, 72), (106, 104, 102), spread=6)
    paving = colour_of(rng, (150, 152, 158), (140, 150, 172), (165, 160, 160), spread=6)
    earth = colour_of(rng, (75, 140, 120), (85, 150, 145), (95, 135, 160), spread=8)
    joint = (np.mod(x, 0.9) < 0.08) | (np.mod(z, 0.9) < 0.1)
    dashed = np.mod(z + rng.uniform(0, 8), 8) < 4
    marks = ((np.abs(x - (left + right) / 2) < 0.12) & dashed) | (np.abs(off_road + 0.35) < 0.08)
    if rng.random() < 0.3:
        crossing = rng.uniform(8, 20)
        marks |= (np.abs(z - crossing) < 1.5) & (np.mod(x, 1.2) < 0.6) & (off_road < -0.4)

    colour = np.empty((*x.shape, 3), np.float32)
    colour[:] = asphalt
    colour[marks] = colour_of(rng, (225, 225, 225), spread=8)
    colour[on_pavement] = paving
    colour[on_pavement & joint & (z < 25)] = 0.85 * paving
    colour[on_pavement & (off_road < 0.25)] = 1.2 * paving  # the kerb
    colour[off_road >= pavement] = earth
    clear = np.exp(-z / scene.visibility)[..., None]
    scene.image[rows] = np.clip(clear * colour + (1 - clear) * scene.haze, 0, 255)


def draw_roadside(scene: Scene, featured, side: int, inner: float) -> None:
    """Everything beyond the pavement of one side: the end of the street, houses, then a lower row before them."""
    rng = scene.rng
    house_line = side * (inner + rng.uniform(3.0, 7.0))
    row_line = side * rng.uniform(inner + 0.4, abs(house_line) - 1.0)
    _draw_street_end(scene, side)
    for z, length in _segments(rng, nearest=5, length=(9, 22), gap_share=0.25):
        _draw_building(scene, house_line, z, length)
    if rng.random() < 0.5:
        for z in np.arange(FAR * 0.7, 8, -rng.uniform(9, 16)):
            draw_tree(scene, side * rng.uniform(inner + 0.5, abs(house_line)), z)

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
    plaster = colour_of(rng, (120, 155, 195), (140, 170, 190), (105, 120, 180), (165, 195, 215))
    glass = colour_of(rng, (95, 80, 65), (140, 120, 100), (60, 55, 55))
    trim = plaster * rng.uniform(0.6, 0.85)

    end = Face(scene, x, z, across=(float(np.sign(x)), 0.0))
    end.box(0, 0, 30, height, plaster * 0.9, TrainId.BUILDING)
    face = along_street(scene, x, z)
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
    stone = colour_of(rng, (105, 108, 112), (92, 88, 88), spread=6)
    face = along_street(scene, x, z)
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
    slat = colour_of(rng, (45, 120, 200), (215, 220, 225), spread=10)
    face = along_street(scene, x, z)
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
    return colour_of(rng, (45, 105, 60), (40, 90, 75), (60, 120, 70), (45, 110, 110), spread=8)


def _draw_hedge(scene: Scene, x: float, z: float, length: float) -> None:
    rng = scene.rng
    height, green = rng.uniform(1.2, 2.2), _green(rng)
    face = along_street(scene, x, z)
    face.box(0, 0, length, height * 0.8, green * 0.8, TrainId.VEGETATION)
    for across in np.arange(length, 0, -1.2):
        _leaves(face, across, height * 0.55, 0.9, height * 0.5, green, blobs=7)


def draw_tree(scene: Scene, x: float, z: float) -> None:
    rng = scene.rng
    height, spread = rng.uniform(4.5, 8), rng.uniform(1.4, 2.6)
    face = Face(scene, x, z)
    face.limb((0, 0), (rng.uniform(-0.3, 0.3), height * 0.6), 0.35, (50, 65, 85), TrainId.VEGETATION)
    _leaves(face, 0, height * 0.68, spread, height * 0.33, _green(rng), blobs=30)
