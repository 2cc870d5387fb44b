"""Writer of the ledger files; kill -9 at any instruction loses nothing that was written.

    <folder>/<host>-<boot>.jsonl      append-only: `host`, `start`, `reading` and `end` lines, see docs/ledger.md
    <folder>/.<host>-<boot>.books     what the next reading needs (`attribution.MeterState`) and the lines last appended
    <folder>/.<host>-<boot>.lock      held for the few milliseconds of a transaction; the kernel frees it on death

A transaction first replaces the state file, with the new lines and their offset, then appends the lines. The next
transaction appends them if that did not happen, and cuts off a half-written line. The meter that took a
reading syncs the disk after it, when the lock is free.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from greenhouse_record.errors import UserError
from greenhouse_record.metering.attribution import MeterState
from greenhouse_record.metering.counters import Host
from greenhouse_record.shared_file import append_at, locked, replace


class LedgerWriter:
    """Ledger file and meter state of one host and boot.

    Raises `UserError`: the folder cannot be written.
    """

    who = "ledger"
    """Who says on the terminal what cannot be read or written."""
    longest_share = 0.0
    """Share of a run's time that may pass between two readings, if that is more than the interval."""

    def __init__(self, folder: Path, host: Host) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"{folder}: the ledger cannot be written ({error.strerror}); make the folder writable"
            ) from None
        self.path = folder / f"{host.file_stem}.jsonl"
        self.state_path = folder / f".{host.file_stem}.books"
        self.lock_path = folder / f".{host.file_stem}.lock"

    def say(self, text: str) -> None:
        """A sentence on the terminal."""
        print(f"{self.who}: {text}", file=sys.stderr)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[tuple[MeterState, list[dict]]]:
        """The state, and a list for new lines: written when the block ends without an error."""
        with locked(self.lock_path):
            state, offset, appended = self._load()
            if self._size() < offset + len(appended):  # a kill came before they were
                append_at(self.path, offset, appended)
            lines: list[dict] = []
            yield state, lines
            self._commit(state, lines)

    def peek(self) -> MeterState:
        """The state as it was last written, without waiting for the lock."""
        return self._load()[0]

    def sync(self) -> None:
        """Sync the ledger file to disk, as far as the disk does."""
        with contextlib.suppress(OSError), open(self.path, "ab") as file:
            os.fsync(file.fileno())

    def _load(self) -> tuple[MeterState, int, bytes]:
        """The state, and of the lines last appended the offset and the text."""
        try:
            raw = json.loads(self.state_path.read_bytes())
        except (FileNotFoundError, ValueError):
            return MeterState(), 0, b""
        return MeterState.from_json(raw["books"]), raw["offset"], raw["appended"].encode()

    def _size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def _commit(self, state: MeterState, lines: list[dict]) -> None:
        offset = self._size()
        appended = "".join(json.dumps(line, separators=(",", ":"), ensure_ascii=False) + "\n" for line in lines)
        raw = {"books": state.to_json(), "offset": offset, "appended": appended}
        replace(self.state_path, json.dumps(raw, separators=(",", ":")))
        append_at(self.path, offset, appended.encode())
