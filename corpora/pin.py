"""The command that pins the packages of the default corpus: it writes corpora/pins.json from what is installed.

python -m corpora.pin --help
"""

import argparse
import fnmatch
import sys
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from components.core.errors import UserError
from components.core.files import write_json
from components.stages.ingest.docstrings import module_name, module_text
from components.stages.ingest.pinned_packages import PINS, description, licence_of, load, pinned_hash

LEFT_OUT = ("*/tests/*", "*/test/*", "*/testing/*", "*/_vendor/*", "*/vendor/*", "*/externals/*", "*/_external/*")
"""Files that are no documentation of their package."""

FEWEST_CHARS = 600
"""A module with less documentation is not worth a document."""

SMALLEST_SHARE = 0.08
"""Documentation in less than this share of a module: tables of data, generated code."""


def wheel_hashes(folders: list[Path], name: str, version: str) -> list[dict[str, str]]:
    """For each wheel of `name` in the folders: file -> pinned hash."""
    stem = f"{name}-{version}-".lower().replace("-", "_")
    result = []
    for path in sorted(path for folder in folders for path in folder.rglob("*.whl")):
        if path.name.lower().replace("-", "_").startswith(stem):
            with zipfile.ZipFile(path) as wheel:
                names = [name for name in wheel.namelist() if name.endswith((".py", "METADATA"))]
                result.append({name: pinned_hash(wheel.read(name)) for name in names})
    return result


def is_pure(distribution: metadata.Distribution) -> bool:
    """Whether one wheel serves every platform and Python."""
    tags = [
        line.split(": ")[1] for line in (distribution.read_text("WHEEL") or "").splitlines() if line.startswith("Tag:")
    ]
    return bool(tags) and all(tag.split("-")[0].startswith("py") and tag.endswith("-none-any") for tag in tags)


def documented_files(distribution: metadata.Distribution, include: list[str]) -> Iterator[tuple[str, bytes]]:
    """The modules of a distribution with enough documentation, and the METADATA if it has a long description."""
    for file in sorted(map(str, distribution.files or [])):
        data = Path(str(distribution.locate_file(file))).read_bytes() if file.endswith((".py", "/METADATA")) else b""
        if file.endswith("/METADATA"):
            if len(description(data)) >= FEWEST_CHARS:
                yield file, data
        elif data and _wanted(file, include) and _is_documentation(data, file):
            yield file, data


def _wanted(file: str, include: list[str]) -> bool:
    inside = not include or any(fnmatch.fnmatch(file, pattern) for pattern in include)
    return inside and not any(fnmatch.fnmatch(f"/{file}", pattern) for pattern in LEFT_OUT)


def _is_documentation(data: bytes, file: str) -> bool:
    try:
        text = module_text(data, module_name(file))
    except (SyntaxError, UnicodeDecodeError, ValueError):
        return False  # a template, or Python 2
    return len(text) >= FEWEST_CHARS and len(text) >= SMALLEST_SHARE * len(data)


def pin_package(name: str, include: list[str], retrieved: str, folders: list[Path]) -> dict[str, Any]:
    """The pin of an installed package.

    Raises:
        UserError: it is not installed, or not pure and no wheels of other platforms were given to compare.
    """
    try:
        distribution = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        raise UserError(f"package {name} is not installed; install the version that constraints.txt names") from None
    wheels = wheel_hashes(folders, name, distribution.version)
    if not wheels and not is_pure(distribution):
        raise UserError(
            f"package {name} has a wheel per platform; download the others (see --help) and name them with --wheels"
        )
    licence, licence_from = licence_of(distribution)
    hashes = {file: pinned_hash(data) for file, data in documented_files(distribution, include)}
    files = {file: digest for file, digest in hashes.items() if all(wheel.get(file) == digest for wheel in wheels)}
    pin = {"version": distribution.version, "licence": licence, "licence_from": licence_from, "retrieved": retrieved}
    return pin | {"include": include, "wheels_compared": len(wheels), "files": files}


def pin_texts(name: str, pin: dict[str, Any], retrieved: str) -> dict[str, Any]:
    """The pin of a package of texts: its files (named by `groups`) hashed anew."""
    distribution = metadata.distribution(name)
    root = Path(str(distribution.locate_file("")))
    files = {file: pinned_hash((root / file).read_bytes()) for file in sorted(pin["groups"])}
    return pin | {"version": distribution.version, "retrieved": retrieved, "files": files}


HELP = """\
Writes corpora/pins.json anew from what is installed in this environment.

The same packages are pinned again unless --add or --remove say otherwise. Only files that are the same on every
platform and Python may be pinned. Pure wheels (py3-none-any) are; for others give the wheels to compare, downloaded
like this:

  pip download --no-deps --only-binary=:all: -d wheels/win-313 --platform win_amd64 --python-version 313 scipy==1.17.1

examples:
  python -m corpora.pin --date 2026-11-25 --wheels wheels
  python -m corpora.pin --date 2026-11-25 --add click \\
      --add 'transformers=transformers/models/llama/*'
  python -m corpora.pin --date 2026-11-25 --remove click
"""


def main(arguments: list[str] | None = None) -> int:
    """The command line: see `HELP`."""
    parser = argparse.ArgumentParser(
        "python -m corpora.pin",
        description=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--date", required=True, help="day of pinning (ISO); becomes `retrieved` of every document")
    parser.add_argument("--add", action="append", default=[], metavar="NAME[=GLOB,GLOB]", help="pin one more package")
    parser.add_argument("--remove", action="append", default=[], metavar="NAME", help="pin one package less")
    parser.add_argument("--wheels", action="append", default=[], type=Path, help="folder of wheels to compare")
    parser.add_argument("--output", type=Path, default=PINS, help="file to write (default: %(default)s)")
    options = parser.parse_args(arguments)
    old = load() if PINS.exists() else {"packages": {}, "texts": {}}
    include = {name: pin["include"] for name, pin in old["packages"].items() if name not in options.remove}
    for added in options.add:
        name, _, globs = added.partition("=")
        include[name] = [glob for glob in globs.split(",") if glob]
    try:
        packages = {name: pin_package(name, include[name], options.date, options.wheels) for name in sorted(include)}
        texts = {name: pin_texts(name, pin, options.date) for name, pin in old["texts"].items()}
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    write_json(options.output, {"packages": packages, "texts": texts})
    for name, pin in packages.items():
        print(f"{name:24} {pin['version']:12} {pin['licence']:30} {len(pin['files']):5} files  ({pin['licence_from']})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
