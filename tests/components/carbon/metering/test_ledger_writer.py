"""The logbook after a kill at any place of a transaction: nothing lost, nothing twice, nothing by half."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from components.carbon.metering.ledger_writer import Logbook
from components.core.errors import UserError
from tests.components.carbon.world import HOST


def write(logbook: Logbook, number: int) -> None:
    with logbook.transaction() as (books, lines):
        books.seq = number
        lines.append({"kind": "reading", "seq": number, "text": "ä" * number})


def numbers(logbook: Logbook) -> list[int]:
    return [json.loads(line)["seq"] for line in logbook.path.read_text(encoding="utf-8").splitlines()]


def test_killed_between_books_and_line(tmp_path: Path) -> None:
    logbook = Logbook(tmp_path, HOST)
    write(logbook, 1)
    before = logbook.path.read_bytes()
    write(logbook, 2)
    after = logbook.path.read_bytes()
    for cut in range(len(before), len(after) + 1):
        logbook.path.write_bytes(after[:cut])  # the books say 2; the line is there, by half, or not at all
        write(logbook, 3)
        assert numbers(logbook) == [1, 2, 3]
        with logbook.transaction() as (books, _):
            assert books.seq == 3
        books_now = json.loads(logbook.books_path.read_bytes())
        books_now |= {"books": books_now["books"] | {"seq": 2}, "offset": len(before)}
        books_now["appended"] = after[len(before) :].decode()
        logbook.books_path.write_text(json.dumps(books_now))


def test_an_exception_inside_writes_nothing(tmp_path: Path) -> None:
    logbook = Logbook(tmp_path, HOST)
    write(logbook, 1)

    def fail() -> None:
        with logbook.transaction() as (books, lines):
            books.seq = 2
            lines.append({"seq": 2})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert numbers(logbook) == [1]
    with logbook.transaction() as (books, _):
        assert books.seq == 1


def test_processes_take_turns(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom components.carbon.metering.ledger_writer import Logbook\n"
        "from tests.components.carbon.world import HOST\nlogbook = Logbook(Path(sys.argv[1]), HOST)\n"
        "for _ in range(50):\n    with logbook.transaction() as (books, lines):\n"
        "        books.seq += 1\n        lines.append({'seq': books.seq})\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(4)]
    assert [process.wait(timeout=60) for process in processes] == [0] * 4
    assert numbers(Logbook(tmp_path, HOST)) == list(range(1, 201))


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "ledger").write_text("a file")
    with pytest.raises(UserError, match="ledger cannot be written"):
        Logbook(tmp_path / "ledger", HOST)


def test_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom components.carbon.metering.ledger_writer import Logbook\n"
        "from tests.components.carbon.world import HOST\n"
        "with Logbook(Path(sys.argv[1]), HOST).transaction():\n    os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)]).returncode == -9
    logbook = Logbook(tmp_path, HOST)
    write(logbook, 1)
    assert numbers(logbook) == [1]
    assert os.path.exists(logbook.lock_path)
