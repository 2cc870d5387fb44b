"""Every command ends an error of user or machine with one sentence, and a mistake of ours with its traceback."""

import errno
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from polars.exceptions import PanicException

from components.core.errors import UserError
from flows.system.command import OUT_OF_MEMORY, run_command, words_of


def ended(error: BaseException) -> int:
    def main() -> None:
        raise error

    with pytest.raises(SystemExit) as left:
        run_command("toy", main)
    assert isinstance(left.value.code, int)
    return left.value.code


def test_what_the_machine_lacks_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "logs").write_text("in the way")
    with pytest.raises(NotADirectoryError) as real:
        (tmp_path / "logs" / "mix.log").write_text("")
    assert ended(real.value) == 1
    assert capsys.readouterr().err == (
        f"toy: {tmp_path}/logs/mix.log: Not a directory; "
        "move the file that lies in the place of a folder out of the way and run again\n"
    )


def test_a_short_write_of_numpy_is_a_full_disk() -> None:
    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(OSError, match="requested") as real:
        np.zeros(1_000_000, np.uint8).tofile(full)
    assert words_of(real.value) == "No space left on device; free space on the disk and run again"


def test_a_disk_without_a_free_inode_is_named_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_files=9, f_favail=0))
    said = words_of(OSError(errno.ENOSPC, "", str(tmp_path / "new/file")))
    assert said.endswith("file: no inode is free for another file, however much space is; delete files and run again")


def test_of_a_move_the_place_it_goes_to_is_named() -> None:
    full = OSError(errno.ENOSPC, "", "/work/out", None, "/full/data")
    assert words_of(full) == "/full/data: No space left on device; free space on the disk and run again"


def test_a_full_disk_of_mlflow_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("PRAGMA max_page_count = 2")
        connection.execute("CREATE TABLE t (x)")
        with pytest.raises(sqlite3.OperationalError, match="full") as real:
            connection.execute("INSERT INTO t VALUES (?)", ("x" * 100_000,))
        with pytest.raises(sqlite3.OperationalError) as ours:
            connection.execute("SELECT y FROM t")
    error = ValueError("of MLflow")
    error.__cause__ = real.value
    assert ended(error) == 1
    assert capsys.readouterr().err.endswith(
        "mlflow.db: No space left on device; free space on the disk and run again\n"
    )
    assert words_of(ours.value) == ""


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        PanicException('could not spawn threads: IOError(Os { message: "Resource temporarily unavailable" })'),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_want_of_memory_is_a_sentence(error: BaseException, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(error) == 1
    assert capsys.readouterr().err == f"toy: {OUT_OF_MEMORY}\n"
    assert words_of(PanicException("index out of bounds")) == ""


def test_a_users_error_is_a_sentence_and_any_other_keeps_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(UserError("no such stage")) == 1
    assert capsys.readouterr().err == "toy: no such stage\n"
    with pytest.raises(OSError, match="odd"):
        run_command("toy", lambda: (_ for _ in ()).throw(OSError(errno.EIO, "odd")))


def test_output_that_nobody_reads_any_more_is_no_error() -> None:
    code = "from flows.system.command import run_command; run_command('toy', lambda: print('line\\n' * 100_000))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141
