"""Rows of whole numbers sorted outside memory: runs that numpy sorts lie in a file, and are merged in blocks."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np

RUN_BYTES = 1 << 24
"""Of a run, and of all blocks that are merged at a time."""


class SortedRows:
    """Rows of `columns` numbers, uint64, added in any order and read in order, those of a single column each once.

    Up to `RUN_BYTES` of them stay in memory; more lie in a nameless file in `folder`.
    """

    def __init__(self, columns: int, folder: Path | None) -> None:
        self._columns, self._folder = columns, folder
        self._file: IO[bytes] | None = None
        self._ends: list[int] = []  # of each run in the file, in rows
        self._waiting = [np.zeros((0, columns), np.uint64)]
        self._num_waiting = 0

    def add(self, *columns: np.ndarray) -> None:
        """Add rows, given by columns (n,); of floats their bits count."""
        kinds = [column.view(np.uint64) if column.dtype == np.float64 else column for column in columns]
        self._waiting.append(np.stack([column.astype(np.uint64) for column in kinds], axis=1))
        self._num_waiting += len(columns[0])
        if self._num_waiting * 8 * self._columns >= RUN_BYTES:
            self._write_run()

    def blocks(self) -> Iterator[np.ndarray]:
        """All rows in order, (n, columns) at a time; without those that are added meanwhile."""
        if self._file is None:
            self._waiting = [_in_order(self._waiting)]
            yield self._waiting[0]
        else:
            self._write_run()
            yield from self._merged(self._file.fileno(), self._ends.copy())

    def buckets(self) -> Iterator[np.ndarray]:
        """The same, with all rows of one first number in one block."""
        rest = self._waiting[0][:0]
        for block in self.blocks():
            together = np.concatenate([rest, block])
            last = np.searchsorted(together[:, 0], together[-1:, 0])[0] if len(together) else 0
            yield together[:last]
            rest = together[last:]
        yield rest

    def _write_run(self) -> None:
        run = _in_order(self._waiting)
        self._file = self._file or tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115
        run.tofile(self._file)
        self._ends.append(len(run) + (self._ends[-1] if self._ends else 0))
        self._waiting, self._num_waiting = [run[:0].copy()], 0

    def _merged(self, file: int, ends: list[int]) -> Iterator[np.ndarray]:
        offsets, held = [0, *ends[:-1]], [self._waiting[0][:0]] * len(ends)
        row_bytes = 8 * self._columns
        length = max(1, RUN_BYTES // row_bytes // len(ends))
        while True:
            for run, end in enumerate(ends):
                if not len(held[run]) and offsets[run] < end:
                    count = min(length, end - offsets[run])
                    held[run] = np.frombuffer(os.pread(file, count * row_bytes, offsets[run] * row_bytes), np.uint64)
                    held[run] = held[run].reshape(-1, self._columns)
                    offsets[run] += count
            # What a run still has in the file is above its last row here: rows up to the lowest of these are complete.
            last = min((held[run][-1].tolist() for run, end in enumerate(ends) if offsets[run] < end), default=None)
            counts = [len(rows) if last is None else _up_to(rows, last) for rows in held]
            if not any(counts):
                return
            yield _in_order([rows[:count] for rows, count in zip(held, counts, strict=True)])
            held = [rows[count:] for rows, count in zip(held, counts, strict=True)]


def _in_order(parts: Sequence[np.ndarray]) -> np.ndarray:
    rows = np.concatenate(parts)
    return np.unique(rows)[:, None] if rows.shape[1] == 1 else rows[np.lexsort(rows.T[::-1])]


def _up_to(rows: np.ndarray, last: list[int]) -> int:
    """How many of the sorted rows are not above a row."""
    kind = np.dtype([("", np.uint64)] * len(last))
    return int(np.searchsorted(rows.view(kind).ravel(), np.array([tuple(last)], kind), side="right")[0])
