"""How tests are spread over processes: a real run of two, on a suite in miniature with this project's conftest.py."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from tests.conftest import WORK

TEST = """
import os, time

import pytest

@pytest.mark.parametrize("number", range(4))
def test_it(number{fixture}):
    with open({log!r}, "a") as file:
        print({name!r}, os.environ["PYTEST_XDIST_WORKER"], file=file)
    time.sleep(0.1)
"""


@pytest.mark.long
def test_a_file_stays_in_one_process_and_so_do_all_files_that_share_one(tmp_path: Path) -> None:
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
    with open(tmp_path / "conftest.py", "a") as file:
        print(f"@pytest.fixture(scope='session')\ndef {WORK[0]}():\n    pass", file=file)
    for name, fixture in (("a", ""), ("b", f", {WORK[0]}"), ("c", ""), ("d", f", {WORK[0]}"), ("e", "")):
        text = TEST.format(fixture=fixture, name=name, log=str(tmp_path / "log"))
        (tmp_path / f"test_{name}.py").write_text(text)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadgroup", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    ran = [line.split() for line in (tmp_path / "log").read_text().splitlines()]
    workers = {name: {worker for file, worker in ran if file == name} for name in "abcde"}
    assert [len(found) for found in workers.values()] == [1] * 5
    assert workers["b"] == workers["d"]
    assert set.union(*workers.values()) == {"gw0", "gw1"}
    (first,) = workers["b"]
    assert [file for file, worker in ran if worker == first][:8] == ["b"] * 4 + ["d"] * 4, "what is long begins first"


def test_no_property_test_asserts_a_timing() -> None:
    assert settings().deadline is None
