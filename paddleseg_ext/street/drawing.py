"""The drawing board: flat polygons in metres, projected by a pinhole camera onto an image and its label map."""

from __future__ import annotations

import math

import cv2
import numpy as np

SUBPIXEL_BITS = 4
CAMERA_HEIGHT = 2.0
CIRCLE = np.stack([f(np.linspace(0, 2 * np.pi, 16, endpoint=False)) for f in (np.cos, np.sin)])


class Scene:
    """An image and its label map, on which polygons in metres are drawn."""

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


def along_street(scene: Scene, x: float, z: float) -> Face:
    """A face parallel to the street, from `z` forwards; the sun lights one side of the street."""
    return Face(scene, x, z, across=(0.0, 1.0), light=1.08 if (x > 0) == scene.sun_left else 0.72)


def colour_of(rng: np.random.Generator, *choices, spread: float = 14) -> np.ndarray:
    """One of the BGR colours, varied."""
    return np.asarray(choices[rng.integers(len(choices))], float) + rng.normal(0, spread, 3)
