"""Pages in a real browser, headless: Debian's Chromium and its driver, or whatever Selenium finds on the machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


@contextmanager
def browser(folder: Path) -> Iterator[Chrome]:
    """A browser with its own profile; the test is skipped where the machine has no Chromium."""
    program = next((found for name in ("chromium", "google-chrome", "chrome") if (found := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("there is no Chromium with its driver on this machine")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (*FLAGS, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # Selenium asks a proxy for localhost, too, where one is set.
    os.environ["no_proxy"] = "localhost,127.0.0.1"
    window = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield window
    finally:
        window.quit()


def look(window: Chrome, page: Path) -> None:
    """Open a page at a phone's and at a desk's width: no error, nothing loaded from elsewhere, nothing overflows."""
    for width in (400, 1400):
        window.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
        )
        window.get(page.as_uri())
        wide = window.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
        assert wide[0] <= wide[1] == width, f"{page.name} overflows at {width} pixels"
        loaded = window.execute_script("return performance.getEntriesByType('resource').map(each => each.name)")
        assert [each for each in loaded if not each.startswith("data:")] == []
    errors = [entry["message"] for entry in window.get_log("browser") if entry["level"] == "SEVERE"]
    assert errors == []


def set_dark(window: Chrome, dark: bool) -> None:
    """Prefer a dark or a light page, as a user's system would."""
    feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    window.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
