"""The writer after a kill at any place of a transaction: nothing lost, nothing twice, nothing by half."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from greenhouse_record.metering.ledger_writer import LedgerWriter
from tests.components.carbon.world import HOST
from tests.errors import refuses


def write(writer: LedgerWriter, number: int) -> None:
    with writer.transaction() as (state, lines):
        state.seq = number
        lines.append({"kind": "reading", "seq": number, "text": "ä" * number})


def numbers(writer: LedgerWriter) -> list[int]:
    return [json.loads(line)["seq"] for line in writer.path.read_text(encoding="utf-8").splitlines()]


def test_killed_between_state_and_line(tmp_path: Path) -> None:
    writer = LedgerWriter(tmp_path, HOST)
    write(writer, 1)
    before = writer.path.read_bytes()
    write(writer, 2)
    after = writer.path.read_bytes()
    for cut in range(len(before), len(after) + 1):
        writer.path.write_bytes(after[:cut])  # the state say 2; the line is there, by half, or not at all
        write(writer, 3)
        assert numbers(writer) == [1, 2, 3]
        with writer.transaction() as (state, _):
            assert state.seq == 3
        state_now = json.loads(writer.state_path.read_bytes())
        state_now |= {"books": state_now["books"] | {"seq": 2}, "offset": len(before)}
        state_now["appended"] = after[len(before) :].decode()
        writer.state_path.write_text(json.dumps(state_now))


def test_an_exception_inside_writes_nothing(tmp_path: Path) -> None:
    writer = LedgerWriter(tmp_path, HOST)
    write(writer, 1)

    def fail() -> None:
        with writer.transaction() as (state, lines):
            state.seq = 2
            lines.append({"seq": 2})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert numbers(writer) == [1]
    with writer.transaction() as (state, _):
        assert state.seq == 1


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "ledger").write_text("a file")
    refuses(lambda: LedgerWriter(tmp_path / "ledger", HOST), "LedgerWriter.__init__", tmp_path / "ledger")


def test_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    code = (
        "import components, os, sys\n"
        "from pathlib import Path\nfrom greenhouse_record.metering.ledger_writer import LedgerWriter\n"
        "from tests.components.carbon.world import HOST\n"
        "with LedgerWriter(Path(sys.argv[1]), HOST).transaction():\n    os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)]).returncode == -9
    writer = LedgerWriter(tmp_path, HOST)
    write(writer, 1)
    assert numbers(writer) == [1]
    assert os.path.exists(writer.lock_path)
