"""What a try ran in: commit and what differs from it, Python and packages, files of the command."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from greenhouse_record.record import Files, hashed, on_disk

SECRET = re.compile(r"(?i)(token|secret|password|passwd|api_?key|credential)")
VARIABLES = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "PYTHONHASHSEED", "CUBLAS_WORKSPACE_CONFIG",
             "WORLD_SIZE")  # fmt: skip
"""Variables of the environment that change what a training computes; no other is recorded."""
MOST_UNTRACKED = 1000
"""Files in no commit that are hashed, Python's first."""
PACKAGES = (
    "import json,platform,sys;from pathlib import Path;"
    "names=[f.name[:-10].rpartition('-') for p in sys.path for f in sorted(Path(p).glob('*.dist-info'))];"
    "print(json.dumps([platform.python_version(),{n.replace('_','-').lower():v for n,_,v in reversed(names)}]))"
)
"""Prints its version and its packages, the first on the path of each name; their metadata is not parsed, which takes
seconds for hundreds."""


def root_of(folder: Path) -> Path:
    """Top of the git repository that a folder lies in; the folder itself if in none."""
    top = _git(folder, "rev-parse", "--show-toplevel")
    return Path(top.decode().strip()) if top else folder


def _git(folder: Path, *words: str) -> bytes:
    """Output of git; empty if it fails or is not there."""
    try:
        return subprocess.run(["git", *words], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True).stdout
    except OSError:
        return b""


def git_facts(root: Path, records: Path, left_out: Sequence[Path]) -> dict[str, Any]:
    """Commit, sha256 of the diff (which is kept beside the records), and hashes of untracked files."""
    commit = _git(root, "rev-parse", "HEAD").decode().strip()
    if not commit:
        return {"commit": None}
    diff = _git(root, "diff", "HEAD", "--binary")
    digest = sha256(diff).hexdigest() if diff else None
    if digest:
        with on_disk(kept := records / f"{digest}.diff"):
            kept.write_bytes(diff)
    names = _git(root, "ls-files", "--others", "--exclude-standard", "-z").decode(errors="replace").split("\0")
    new = sorted(_files((root / name for name in names if name), left_out), key=lambda path: path.suffix != ".py")
    facts = {"commit": commit, "diff": digest, "untracked": hashed(new[:MOST_UNTRACKED], root)}
    return {**facts, "unrecorded": max(0, len(new) - MOST_UNTRACKED)}


def _files(paths: Iterable[Path], left_out: Sequence[Path]) -> list[Path]:
    """Those that are files, and lie in none of the places to leave out."""
    return [path for path in sorted(paths) if path.is_file() and not {path, *path.parents} & {*left_out}]


def environment(command: Sequence[str]) -> dict[str, Any]:
    """Version and packages of the Python that a command runs in, and variables that change results."""
    python = python_of(command)
    try:
        done = subprocess.run([python, "-c", PACKAGES], stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        version, packages = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        version, packages = None, {}
    variables = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    return {"python": version, "packages": dict(sorted(packages.items())), "variables": variables}


def python_of(command: Sequence[str]) -> str:
    """The interpreter of a command: itself, or that of its script's first line; else this one."""
    words = [shutil.which(command[0]) or command[0]]
    with suppress(OSError), open(words[0], "rb") as file:
        first = file.readline(500).decode(errors="replace")
        words += first[2:].split() if first.startswith("#!") else []
    named = (shutil.which(word) for word in words if os.path.basename(word).startswith("python"))
    return next(filter(None, named), sys.executable)


def without_secrets(command: Sequence[str]) -> list[str]:
    """A command with the values of arguments that are secret by their name as `***`."""
    shown: list[str] = []
    for word in command:
        name, equals, _ = word.partition("=")
        if equals and SECRET.search(name):
            word = f"{name}=***"
        elif shown and shown[-1].startswith("-") and "=" not in shown[-1] and SECRET.search(shown[-1]):
            word = "***"
        shown.append(word)
    return shown


def named_files(command: Sequence[str], root: Path, left_out: Sequence[Path]) -> Files:
    """Hashes of files below the root that a command names: scripts, modules, configurations.

    The command itself is one of them, unless it is a Python; so are words inside a word, as in `sh
    -c "./train.sh 2"`.
    """
    named = [name.replace(".", "/") for flag, name in zip(command, command[1:]) if flag == "-m"]
    words = [f"{name}{end}" for name in named for end in (".py", "/__main__.py")]
    words += [part for word in command[1:] for part in (word, word.partition("=")[2], *word.split())]
    program = shutil.which(command[0]) or ""
    words += [] if os.path.basename(program).startswith("python") else [program]
    paths = {Path(os.path.abspath(word)) for word in words if word and len(word) < 1000 and "\0" not in word}
    return hashed(_files((path for path in paths if root in path.parents), left_out), root)
