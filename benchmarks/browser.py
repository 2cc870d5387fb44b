"""Headless Chromium, and the pictures of the report that it takes for README."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REPORT = ROOT / "reports" / "report.html"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
PICTURES = ("report.png",)
"""Of README, in docs/images."""


def browser() -> str | None:
    """The first Chromium there is on PATH."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def run(chromium: str, page: Path, size: tuple[int, int], *options: str) -> str:
    """Standard output of a headless Chromium that shows a page in a window of this size."""
    window = f"--window-size={size[0]},{size[1]}"
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", window, *options]
    return subprocess.run([*command, page.as_uri()], capture_output=True, text=True, check=True, timeout=120).stdout


def renew_pictures() -> None:
    """Take docs/images/report.png, the head of the report.

    Raises:
        SystemExit: there is no Chromium, or no report.
    """
    chromium, picture = browser(), ROOT / "docs" / "images" / "report.png"
    if chromium is None or not REPORT.exists():
        sys.exit(f"{REPORT}: make demo first, with one of {', '.join(BROWSERS)} on PATH")
    run(chromium, REPORT, (1080, 760), f"--screenshot={picture}")
    print(f"taken: {picture}")
