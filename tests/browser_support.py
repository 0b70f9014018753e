"""Pages as a reader sees them: in Chromium without a window, as wide as a telephone and as a notebook."""

import shutil

import cv2
import numpy as np
import pytest
from playwright.sync_api import sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
at_both_widths = pytest.mark.parametrize("width", [390, 1280])
HEIGHT = 1500
MILLISECONDS = 120_000  # that a page may take on a busy machine; an idle one shows it within a few seconds


def browse(url, width, until="true"):
    """What a page holds once a JavaScript condition is true, and what it looks like.

    Returns:
        The HTML, and a screenshot of the page's top: (`HEIGHT`, width, 3) BGR.
    """
    with sync_playwright() as driver, driver.chromium.launch(executable_path=CHROMIUM) as browser:
        page = browser.new_page(viewport={"width": width, "height": HEIGHT})
        page.set_default_timeout(MILLISECONDS)
        page.goto(url)
        page.wait_for_function(until)
        shot = cv2.imdecode(np.frombuffer(page.screenshot(), np.uint8), cv2.IMREAD_COLOR)
        html = page.content()
    assert shot.shape == (HEIGHT, width, 3)
    return html, shot


def count_colours(shot):
    return len(np.unique(shot.reshape(-1, 3), axis=0))


def assert_fits(shot):
    """Nothing sticks out to the right of the page."""
    margin = shot[:, -8:]
    assert (margin == margin[0, 0]).all()
