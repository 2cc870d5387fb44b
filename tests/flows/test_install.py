"""The Makefile sets itself up: finds a Python, refuses what cannot work before it writes, costs nothing twice."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import pytest

from flows import install
from flows.system.paths import ROOT
from tests.errors import refuses, shows


def make(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["make", *arguments], cwd=folder, env=os.environ | more,
        capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def bare_clone(above: Path) -> Path:
    """What `make setup` needs of a clone, in a folder with a space in its name, and no environment."""
    folder = above / "a clone"
    (folder / "flows").mkdir(parents=True)
    modules = (f"flows/{name}.py" for name in ("__init__", "install", "trace"))
    for name in ("Makefile", "pyproject.toml", "constraints.txt", *install.HASHES, *modules):
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    return bare_clone(tmp_path)


def fake_python(folder: Path, version: str) -> str:
    """A program that says it is Python of that version, and can do nothing else."""
    path = folder / f"python-{version}"
    path.write_text(f"#!/bin/sh\necho {version}\n")
    path.chmod(0o755)
    return str(path)


def test_help_shows_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)
    assert len(targets) <= 20
    shown = make(ROOT).stdout
    assert [target for target in targets if f"  make {target} " not in shown] == ["help"]
    assert max(map(len, shown.splitlines())) <= 120


@pytest.mark.parametrize(
    ("version", "says"),
    [
        ("3.10.14", "needs Python 3.11, 3.12 or 3.13; {python} is 3.10.14"),
        ("3.14.0", "needs Python 3.11, 3.12 or 3.13; {python} is 3.14.0"),
        ("none", "no python3 found"),
        ("own", "no git repository; clone the project with git"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_installed(
    bare: Path, tmp_path: Path, version: str, says: str
) -> None:
    python = {"none": "no-such-python", "own": sys.executable}.get(version) or fake_python(tmp_path, version)
    done = make(bare, "setup", PYTHON=python)
    assert done.returncode != 0
    assert says.format(python=python) in done.stderr
    assert not (bare / ".venv").exists()


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess]:
    """A clone whose installation ended when its environment had nothing but pip, and what was said."""
    bare = bare_clone(tmp_path_factory.mktemp("failed"))
    subprocess.run(["git", "init", "--quiet"], cwd=bare, check=True)
    (bare / "hashes.txt").write_text("numpy==2.4.0 --hash=sha256:00\n")
    return bare, make(bare, "setup", PIP_NO_INDEX="1", PIP_FIND_LINKS="/nonexistent")


def test_a_failing_pip_shows_its_error_and_the_log(failed: tuple[Path, subprocess.CompletedProcess]) -> None:
    bare, done = failed
    assert done.returncode != 0
    assert "Measured: " in done.stdout
    assert "ERROR: " in done.stderr
    assert "install.log" in done.stderr
    assert (bare / ".greenhouse" / "logs" / "install.log").exists()
    assert not (bare / ".venv" / "installed").exists()


@pytest.mark.parametrize("status", [0, 1])
def test_the_log_of_an_installation_stays_small(status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It had a line for each file of each package's page: 69 MB."""
    python, log = tmp_path / "python", tmp_path / "install.log"
    python.write_text(f"#!/bin/sh\nyes 'Skipping link' | head -c 3000000 >> $4\necho why >> $4\nexit {status}\n")
    python.chmod(0o755)
    for name, value in {"PYTHON": python, "LOG": log}.items():
        monkeypatch.setattr(install, name, value)
    if status:
        refuses(lambda: install.pip("numpy"), "install.pip")
        assert log.stat().st_size == install.LOG_BYTES
        assert log.read_text().endswith("why\n")
    else:
        install.pip("numpy")
        assert not log.exists()


@pytest.mark.parametrize("link", [".venv", ".venv/bin", ".venv/lib"])
def test_an_environment_of_another_checkout_is_not_installed_into(bare: Path, tmp_path: Path, link: str) -> None:
    """A copy of a checkout with a link for its .venv installed itself into that of the original."""
    subprocess.run(["git", "init", "--quiet"], cwd=bare, check=True)
    (other := tmp_path / "original").mkdir()
    (bare / link).parent.mkdir(exist_ok=True)
    (bare / link).symlink_to(other)
    done = make(bare, "setup", PIP_NO_INDEX="1")
    assert done.returncode != 0
    (said, _) = done.stderr.splitlines()
    shows(said, "install.raise_if_shared", bare / link, other)
    assert not list(other.iterdir())


def test_a_broken_link_to_an_environment_changes_nothing_there(bare: Path, tmp_path: Path) -> None:
    """Where it has no Python that runs, its marks of a finished installation were removed."""
    (tmp_path / "original").mkdir()
    (tmp_path / "original" / "installed").touch()
    (bare / ".venv").symlink_to(tmp_path / "original")
    make(bare, "help")
    assert (tmp_path / "original" / "installed").exists()


def test_the_second_call_does_nothing(bare: Path) -> None:
    (bare / ".venv" / "bin").mkdir(parents=True)
    (bare / ".venv" / "bin" / "python").symlink_to("/bin/true")
    (bare / ".venv" / "installed").touch()
    assert "Nothing to be done" in make(bare, "setup").stdout
    (bare / ".venv" / "bin" / "python").unlink()  # its Python is gone: not installed any more
    shows(make(bare, "setup").stderr, "install.check_machine.3")


def test_a_changed_pin_installs_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(install, "VENV", tmp_path)
    monkeypatch.setattr(install, "ROOT", tmp_path)
    for name in ("pyproject.toml", "constraints.txt", *install.HASHES):
        shutil.copy(ROOT / name, tmp_path / name)
    install.stamp(True).write_text(install.recipe(True))
    assert install.is_done(False)  # the development tools cover the rest
    assert install.is_done(True)
    (tmp_path / "constraints.txt").write_text("numpy==2.0.0\n")
    assert not install.is_done(False)


# -- torch's build -----------------------------------------------------------------------------------------------------


@pytest.fixture
def driverless(
    monkeypatch: pytest.MonkeyPatch, failed: tuple[Path, subprocess.CompletedProcess], tmp_path: Path
) -> Path:
    """A Linux machine with room on its disk, without an NVIDIA driver; an environment of its own, no setting of pip."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setattr(install, "has_nvidia_driver", lambda: False)
    monkeypatch.setattr(install, "PYTHON", failed[0] / ".venv/bin/python")
    monkeypatch.setattr(install, "LOG", tmp_path / "install.log")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=100e9))
    return tmp_path


def wheel(folder: Path, version: str, needs: str = "") -> None:
    """A package index with a wheel that says it is torch, and holds nothing."""
    (folder / "torch").mkdir(parents=True)
    info = f"torch-{version}.dist-info"
    with zipfile.ZipFile(folder / f"torch/torch-{version}-py3-none-any.whl", "w") as file:
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n{needs}")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")


def test_without_a_driver_torch_is_the_cpu_build(
    driverless: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    wheel(driverless / "index", "2.9.9+cpu")
    handler = partial(SimpleHTTPRequestHandler, directory=str(driverless / "index"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(install, "CPU_INDEX", f"http://127.0.0.1:{server.server_port}")
        install.install_cpu_torch()
        server.shutdown()
    listed = subprocess.run([str(install.PYTHON), "-m", "pip", "list"], capture_output=True, text=True).stdout
    assert re.search(r"^torch +2.9.9\+cpu$", listed, re.MULTILINE)
    assert "No NVIDIA driver: torch's CPU build, from http://127.0.0.1" in capsys.readouterr().out


def test_a_setting_of_pip_wins_and_an_index_that_does_not_answer_is_named(
    driverless: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(install, "CPU_INDEX", "http://127.0.0.1:9")
    monkeypatch.setattr(install, "pip", lambda *arguments: pytest.fail("installs"))
    install.install_cpu_torch()
    assert "http://127.0.0.1:9 does not answer: torch comes from the default index" in capsys.readouterr().out
    monkeypatch.setenv("PIP_INDEX_URL", "https://packages.example/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    install.install_cpu_torch()
    assert "where your pip setting index-url says" in capsys.readouterr().out
    monkeypatch.setattr(install, "has_nvidia_driver", lambda: True)
    install.install_cpu_torch()
    assert capsys.readouterr().out == ""


def test_a_folder_of_wheels_without_a_cpu_build_for_this_python_is_not_taken_for_one(
    driverless: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    wheel(driverless / "wheels", "2.9.8", needs="Requires-Dist: nvidia-cudnn-cu13==9.20; platform_system == 'Linux'\n")
    monkeypatch.setenv("PIP_FIND_LINKS", str(driverless / "wheels/torch"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # for pip; the installer sees only the folder
    monkeypatch.setattr(install, "own_index", lambda: "find-links")
    monkeypatch.setattr(install, "CPU_INDEX", "http://127.0.0.1:9")
    monkeypatch.setattr(install, "pip", lambda *arguments: pytest.fail("installs"))
    install.install_cpu_torch()
    said = capsys.readouterr().out
    assert "torch comes from the default index,\nin its CUDA build: some 3 GB more" in said
    monkeypatch.setattr(install, "CUDA_FREE_GB_NEEDED", 1e9)
    refuses(lambda: install.install_cpu_torch(), "raise_if_disk_below", 1000000000)
    capsys.readouterr()
    wheel(driverless / "cpu", "2.9.9+cpu")
    monkeypatch.setenv("PIP_FIND_LINKS", str(driverless / "cpu/torch"))
    install.install_cpu_torch()
    assert capsys.readouterr().out == "No NVIDIA driver; torch comes from where your pip setting find-links says.\n"
