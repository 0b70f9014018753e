"""Pages as a reader sees them: in Chromium without a window, as wide as a telephone and as a notebook."""

import shutil
import subprocess

import cv2
import numpy as np
import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
at_both_widths = pytest.mark.parametrize("width", [390, 1280])
HEIGHT = 1500


def browse(url, folder, width, seconds=0):
    """What a page holds after its scripts, which get so many seconds of the page's own time, and what it looks like.

    Args:
        folder: for the browser's files.

    Returns:
        The HTML, and a screenshot of the page's top: (`HEIGHT`, width, 3) BGR.
    """
    path = folder / "shot.png"
    quiet = ["--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update"]
    window = ["--headless", "--hide-scrollbars", f"--window-size={width},{HEIGHT}"]
    output = ["--dump-dom", f"--screenshot={path}"]
    time = [f"--virtual-time-budget={1000 * seconds}"] if seconds else []
    command = [CHROMIUM, *window, "--no-sandbox", "--disable-gpu", "--disable-sync", *quiet, *output, *time]
    for attempt in range(8):  # on a busy machine Chromium's virtual time may never end
        fresh = f"--user-data-dir={folder / f'profile{attempt}'}"
        try:
            html = subprocess.run([*command, fresh, url], check=True, capture_output=True, text=True, timeout=40).stdout
            break
        except subprocess.TimeoutExpired:
            if attempt == 7:
                raise
    shot = cv2.imread(str(path))
    assert shot.shape == (HEIGHT, width, 3)
    return html, shot


def count_colours(shot):
    return len(np.unique(shot.reshape(-1, 3), axis=0))


def assert_fits(shot):
    """Nothing sticks out to the right of the page."""
    margin = shot[:, -8:]
    assert (margin == margin[0, 0]).all()
