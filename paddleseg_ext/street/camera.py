"""What happens in the camera: surface texture, light, colour cast and sensor noise."""

from __future__ import annotations

import cv2
import numpy as np

from paddleseg_ext.datasets.cityscapes_classes import TrainId
from paddleseg_ext.street.drawing import Scene

SUPERSAMPLING = 2

# Deviation of the brightness noise of each class in grey levels, at 1, 4 and 12 pixels of an image 128 high.
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


def smooth_noise(rng, shape, grain: float) -> np.ndarray:
    """Smooth noise (H, W) of deviation ~ 1 whose blobs are `grain` pixels wide."""
    coarse = [max(2, round(side / grain)) for side in shape]
    return cv2.resize(rng.standard_normal(coarse, np.float32), shape[::-1], interpolation=cv2.INTER_CUBIC)


def label_at_its_size(scene: Scene) -> np.ndarray:
    """The train ids (H, W) of a drawn scene, `SUPERSAMPLING` times smaller than it was drawn."""
    return np.ascontiguousarray(scene.label[SUPERSAMPLING // 2 :: SUPERSAMPLING, SUPERSAMPLING // 2 :: SUPERSAMPLING])


def photograph(scene: Scene, label: np.ndarray) -> np.ndarray:
    """Scale a drawn scene down to its label's size and add surface texture, light, colour cast and sensor noise."""
    rng, (height, width) = scene.rng, label.shape
    image = cv2.resize(scene.image, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)

    amplitude = np.array([GRAIN.get(train_id, DEFAULT_GRAIN) for train_id in TrainId] + [DEFAULT_GRAIN], np.float32)
    amplitude = amplitude[np.minimum(label, len(TrainId))]
    for level, grain in enumerate((1, 4, 12)):
        image += (amplitude[..., level] * smooth_noise(rng, (height, width), grain * height / 128))[..., None]

    exposure, contrast = rng.uniform(0.8, 1.15), rng.uniform(0.9, 1.15)
    image = (image - 110) * contrast + 110
    image *= exposure * rng.uniform(0.95, 1.05, 3).astype(np.float32)
    slope = np.linspace(-1, 1, width, dtype=np.float32) * rng.uniform(-0.1, 0.1)
    image *= (1 + slope)[None, :, None]
    if rng.random() < 0.4:
        image = cv2.GaussianBlur(image, (3, 3), 0)
    image += rng.normal(0, rng.uniform(1, 5), image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)
