"""A Python that lacks a package, mostly the system's own, gets one sentence that names the one to use."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flows.system.paths import ROOT

WITHOUT_PACKAGES = (sys.executable, "-S")
"""A Python without site-packages."""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """The code of a checkout."""
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    for name in ("flows", "components", "recorder"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def errors(folder: Path, *command: str) -> str:
    """What a command that fails prints to the standard error."""
    done = subprocess.run([*WITHOUT_PACKAGES, *command], cwd=folder, env={}, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr


@pytest.mark.parametrize("module", ["flows.cli", "flows.stage"])
def test_the_python_of_the_checkout_is_named(code: Path, module: str) -> None:
    said = errors(code, "-m", module)
    assert said == (
        f"psutil is not installed for {sys.executable}; `make setup` in {code} makes an environment with it, "
        f"{code}/.venv/bin/python\n"
    )
    (code / ".venv" / "bin").mkdir(parents=True)
    (code / ".venv" / "bin" / "python").touch()
    said = errors(code, "-m", module)
    assert said == f"psutil is not installed for {sys.executable}; use that of this checkout: {code}/.venv/bin/python\n"


def test_any_package_of_others_counts_and_none_of_ours(code: Path) -> None:
    (code / "psutil.py").write_text("import nosuch.part")
    assert errors(code, "-m", "flows.cli").startswith("nosuch is not installed for ")
    (code / "psutil.py").write_text("import components.nosuch")
    assert "Traceback" in errors(code, "-m", "flows.cli")
    (code / "psutil.py").write_text("raise ImportError('half a package')")
    assert "Traceback" in errors(code, "-m", "flows.cli")


def test_in_the_environment_itself_it_is_installed_anew(code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.system.missing_package import sentence

    (code / ".venv" / "bin").mkdir(parents=True)
    (code / ".venv" / "bin" / "python").touch()
    monkeypatch.setattr(sys, "prefix", str(code / ".venv"))
    assert sentence("yaml", code).endswith(f"; `make setup` in {code} installs what is missing")
