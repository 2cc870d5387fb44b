"""The chain of a record: whatever is edited later shows."""

import os
from pathlib import Path

import pytest

from greenhouse_record.record import append, read
from tests.errors import refuses

START = {"kind": "start", "t": "2026-12-01T00:00:00.000Z", "span": "s1", "attempt": 1}
READING = {"kind": "reading", "t": "2026-12-01T00:00:01.000Z", "host": "h"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A record of one try: two readings, a loss, an end."""
    path = tmp_path / "records" / "r.jsonl"
    append(path, {"kind": "record", "format": 1, "id": "r", "out": "model"})
    append(path, START)
    for uj in (5, 7):
        part = {"cpu_us": uj * 1000, "uj": {"cpu": [uj, 2 * uj, 3 * uj], "memory": [1, 1, 1]}}
        append(path, READING | {"spans": {"s1": part, "other": part}})
    append(path, {"kind": "log", "attempt": 1, "step": 1, "loss": 3.5})
    append(path, {"kind": "end", "attempt": 1, "outcome": "Completed", "cpu_s": 0.5})
    return path


@pytest.mark.parametrize("removed", range(6))
def test_a_line_taken_out_or_edited_shows(path: Path, removed: int) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:removed] + lines[removed + 1 :]))
    refuses(lambda: read(path), "record.read.2", f"line {max(removed, 1)}")
    edited = lines[removed].replace(b'"kind"', b'"kind" ')
    path.write_bytes(b"".join([*lines[:removed], edited, *lines[removed + 1 :]]))
    refuses(lambda: read(path), "record.read.2", f"line {removed + 1}")


def test_lines_cut_off_the_end_show_by_the_head_and_so_does_a_head_that_is_gone(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))
    refuses(lambda: read(path), "record.read.2", "line 5")
    path.with_suffix(".head").unlink()
    refuses(lambda: read(path), "record.read.2", "line 5")


def test_a_torn_line_is_left_out_and_the_next_append_replaces_it(path: Path) -> None:
    with open(path, "ab") as file:
        file.write(b'{"kind":"rea')
    assert len(read(path).attempts[0].of["reading"]) == 2
    append(path, READING | {"spans": {}})
    assert len(read(path).attempts[0].of["reading"]) == 3


def test_a_full_disk_keeps_the_record(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, write, parts = read(path), os.write, [10]

    def full(handle: int, data: bytes) -> int:
        if not parts:
            raise OSError(28, "No space left on device")
        return write(handle, data[: parts.pop()])

    with monkeypatch.context() as patch:
        patch.setattr("os.write", full)
        refuses(lambda: append(path, READING), "record.on_disk", "No space left on device")
    assert read(path) == before
    append(path, READING | {"spans": {}, "text": "x" * 300_000})
    assert len(read(path).attempts[0].of["reading"]) == 3
