"""DVC's cache, filled by hand: the fixture `cache` makes it."""

import hashlib
import json
from pathlib import Path
from typing import Any


def put(cache: Path, data: Any, suffix: str = "", name: str = "") -> str:
    """Name of an object put into the cache, its hash unless given; what is no bytes is written as JSON."""
    written = data if isinstance(data, bytes) else json.dumps(data).encode()
    name = name or hashlib.md5(written, usedforsecurity=False).hexdigest() + suffix
    (place := cache / name[:2] / name[2:]).parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(written)
    return name


def listing(cache: Path, files: dict[str, str]) -> str:
    """Name of a folder's listing: path -> hash of its files."""
    return put(cache, [{"md5": md5, "relpath": path} for path, md5 in sorted(files.items())], ".dir")
