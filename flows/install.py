"""Makes `.venv` and installs the pinned set with plain pip. Runs on the system's Python: standard library only.

    python3 -P flows/install.py [dev]        (-P: flows/trace.py must not hide the library of that name)

What it is about to do is said first (size, time); pip shows the rest. The end of what a failing pip said lies in
`.greenhouse/logs/install.log`.
A finished installation leaves `.venv/installed` (or `.venv/installed-dev`) with the hash of what it was made from, so
that a second call costs nothing and a changed pin installs again.
"""

import ctypes.util
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
import urllib.request
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
LOG = ROOT / ".greenhouse" / "logs" / "install.log"
LOG_BYTES = 1_000_000
HASHES = ("hashes.txt", "hashes-dev.txt")
"""The pinned set with the sha256 of every file, without torch, and what the development tools add to it."""
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
FREE_GB_NEEDED = 5.0
CUDA_FREE_GB_NEEDED = 12.0
"""With torch's CUDA build: its wheels, pip's copies of them, and what they unpack to."""


class InstallError(Exception):
    """Something the user can fix, in one sentence."""


def recipe(dev: bool) -> str:
    """Hash of all that decides what gets installed."""
    parts = [(ROOT / name).read_bytes() for name in ("pyproject.toml", "constraints.txt", *HASHES)]
    parts += [sys.version.encode(), str(ROOT).encode(), b"dev" if dev else b""]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def stamp(dev: bool) -> Path:
    """The file that says an installation is finished."""
    return VENV / ("installed-dev" if dev else "installed")


def is_done(dev: bool) -> bool:
    """Whether this installation, or the larger one with the development tools, is in place."""
    works = PYTHON.exists() and subprocess.run([str(PYTHON), "-c", ""], capture_output=True).returncode == 0
    if not works:
        return False
    return any(stamp(kind).exists() and stamp(kind).read_text() == recipe(kind) for kind in {dev, True})


def raise_if_shared() -> None:
    """Refuse an environment that a link shares with another checkout: an installation here would change it there.

    Raises `InstallError`: naming where the link leads.
    """
    for folder in (VENV, VENV / "bin", VENV / "lib"):
        if not (resolved := folder.resolve()).is_relative_to(ROOT):
            raise InstallError(
                f"{folder}: leads to {resolved}, outside of this checkout, so nothing is installed there; "
                f"remove the link (rm {VENV}) and run this again"
            )


def check_machine() -> None:
    """Refuse before anything is written: no git, no repository, no room, no venv module.

    Raises `InstallError`: saying what to do.
    """
    if not shutil.which("git"):
        raise InstallError("git: no such command; install git (DVC and experiments need it) and run this again")
    asked = subprocess.run(["git", "rev-parse", "--show-toplevel"], cwd=ROOT, capture_output=True, text=True)
    if asked.returncode and "dubious ownership" in asked.stderr:
        raise InstallError(f"{ROOT}: belongs to another user, so git refuses it; clone it as yourself, or chown it")
    if asked.returncode or Path(asked.stdout.strip()).resolve() != ROOT:
        raise InstallError(f"{ROOT}: no git repository; clone the project with git, or run `git init` here")
    if not VENV.exists():
        raise_if_disk_below(FREE_GB_NEEDED)


def raise_if_disk_below(needed_gb: float) -> None:
    """Refuse an installation that would end half-way.

    Raises `InstallError`: less room than that where the environment goes.
    """
    free_gb = shutil.disk_usage(ROOT).free / 1e9
    if free_gb < needed_gb:
        raise InstallError(f"{ROOT}: {free_gb:.1f} GB free, the installation needs {needed_gb:.0f}; make room first")


# -- which build of torch ----------------------------------------------------------------------------------------------


def has_nvidia_driver() -> bool:
    """Whether this machine has an NVIDIA driver: its command, its kernel module, or its library."""
    module = Path("/proc/driver/nvidia/version").exists()
    return bool(shutil.which("nvidia-smi") or module or ctypes.util.find_library("cuda"))


def own_index() -> str:
    """Setting of pip, from its environment or files, that says where packages come from; empty if there is none."""
    listed = subprocess.run([str(PYTHON), "-m", "pip", "config", "list"], capture_output=True, text=True).stdout
    names = re.findall(r"^\S*?\.((?:extra-)?index-url|find-links|no-index)=", listed, re.MULTILINE)
    return min(names, key="find-links".__eq__, default="")  # which adds to an index, and so says less


def reachable(url: str) -> bool:
    """Whether an address answers within a few seconds, through the proxy that is set."""
    try:
        with urllib.request.urlopen(url, timeout=8):
            return True
    except (OSError, ValueError):
        return False


def required_torch() -> str:
    """Torch's line of pyproject.toml."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    return next(line for line in wanted if re.match(r"torch\b", line))


def pip_has_cpu_torch() -> bool:
    """Whether the torch that pip would install here, asked without installing it, does without CUDA's libraries.

    Also true where pip finds none: the installation says so in pip's own words.
    """
    options = ["--dry-run", "--ignore-installed", "--no-deps", "--quiet", "--report", "-", "-c", "constraints.txt"]
    asked = subprocess.run(
        [str(PYTHON), "-m", "pip", "install", *options, required_torch()], cwd=ROOT, capture_output=True, text=True
    )
    installs = json.loads(asked.stdout)["install"] if asked.returncode == 0 else []
    needs = [line for package in installs for line in package["metadata"].get("requires_dist", [])]
    return not any(line.startswith(("nvidia-", "cuda-")) for line in needs)


def install_cpu_torch() -> None:
    """Install torch's CPU build where pip would take CUDA's on a machine that has no use for it.

    Alone and without dependencies: the pinned set brings those, and finds torch in place.

    Raises `InstallError`: only the CUDA build is to be had, and the disk has no room for it.
    """
    if sys.platform != "linux" or has_nvidia_driver():
        return
    setting = own_index()
    if setting and pip_has_cpu_torch():
        log(f"No NVIDIA driver; torch comes from where your pip setting {setting} says.")
    elif setting in ("", "find-links") and reachable(f"{CPU_INDEX}/torch/"):
        log(f"No NVIDIA driver: torch's CPU build, from {CPU_INDEX}")
        pip("--no-deps", "--index-url", CPU_INDEX, required_torch())
    else:
        index = f"the index of your pip setting {setting}" if "index" in setting else "the default index"
        answer = "" if "index" in setting else f"{CPU_INDEX} does not answer: "
        log(f"No NVIDIA driver, but {answer}torch comes from {index},")
        log("in its CUDA build: some 3 GB more to download and 5 GB more on disk. Ctrl-C stops; nothing is lost.")
        raise_if_disk_below(CUDA_FREE_GB_NEEDED)


def log(text: str) -> None:
    print(text, flush=True)


def make_venv() -> None:
    """A fresh environment; a broken or half-made one is removed first."""
    if PYTHON.exists() and subprocess.run([str(PYTHON), "-m", "pip", "--version"], capture_output=True).returncode == 0:
        return
    shutil.rmtree(VENV, ignore_errors=True)
    try:
        venv.create(VENV, with_pip=True)
    except subprocess.CalledProcessError:
        shutil.rmtree(VENV, ignore_errors=True)
        raise InstallError(
            f"{sys.executable}: cannot make a virtual environment; install its venv module (Debian: python3-venv)"
        ) from None


def pip(*arguments: str) -> None:
    """Run pip, which shows what it does; of one that fails the end of its log stays: of 260 packages it has 70 MB.

    Raises `InstallError`: pip failed.
    """
    command = [str(PYTHON), "-m", "pip", "--log", str(LOG), "install", "--disable-pip-version-check", *arguments]
    failed = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL).returncode
    log_bytes = LOG.read_bytes() if LOG.exists() else b""
    LOG.unlink(missing_ok=True)
    if failed:
        LOG.write_bytes(log_bytes[-LOG_BYTES:])
        raise InstallError(f"pip could not install, its lines above say why; the end of its log is in {LOG}")


def install(dev: bool) -> None:
    """Everything, or nothing if it is there already."""
    raise_if_shared()
    if is_done(dev):
        for kind in {dev, True}:
            if stamp(kind).exists():
                stamp(kind).touch()
        if not stamp(dev).exists():  # the larger installation covers the smaller
            stamp(dev).write_text(recipe(dev))
        return
    check_machine()
    product = "Greenhouse and its development tools" if dev else "Greenhouse"
    log(f"Installing {product} into .venv (once), about 260 packages of the pinned set in constraints.txt.")
    log("Measured: 2.4 GB on disk and two to five minutes on 2 cores with a near package index and torch's CPU build.")
    LOG.parents[1].mkdir(mode=0o700, exist_ok=True)
    LOG.parent.mkdir(exist_ok=True)
    started = time.monotonic()
    make_venv()
    for kind in (False, True):
        stamp(kind).unlink(missing_ok=True)
    install_cpu_torch()
    listed = [option for name in HASHES[: 1 + dev] for option in ("-r", name)]
    pip("--require-hashes", "--no-deps", *listed)
    pip("-c", "constraints.txt", "-e", ".[dev]" if dev else ".")  # ourselves, and torch where it is not there yet
    stamp(dev).write_text(recipe(dev))
    log(f"Installed in {time.monotonic() - started:.0f} s. The command is .venv/bin/greenhouse;")
    log("after `. .venv/bin/activate` it is greenhouse, and greenhouse --help shows examples.")


def main() -> int:
    dev = sys.argv[1:] == ["dev"]
    try:
        install(dev)
    except InstallError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; run it again to go on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
