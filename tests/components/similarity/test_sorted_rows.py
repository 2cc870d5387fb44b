"""Rows sorted in runs on disk: as numpy sorts them in memory."""

from pathlib import Path

import numpy as np
import pytest

from components.similarity import sorted_rows
from components.similarity.sorted_rows import SortedRows


@pytest.mark.parametrize("columns", [1, 2, 3])
@pytest.mark.parametrize("run_bytes", [100, 1_000, 1 << 24])
def test_rows_of_any_number_of_runs_come_in_order_and_buckets_whole(
    columns: int, run_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sorted_rows, "RUN_BYTES", run_bytes)
    rows = np.random.default_rng(1).integers(0, 40, (3000, columns)).astype(np.uint64)
    rows[:3] = np.uint64((1 << 64) - 1)
    made = SortedRows(columns, tmp_path)
    assert not sum(map(len, made.blocks()))
    for part in np.split(rows, [1, 100, 1200, 1200, 2900]):
        made.add(*part.T)
    expected = rows[np.lexsort(rows.T[::-1])] if columns > 1 else np.unique(rows)[:, None]
    for blocks in (list(made.blocks()), list(made.buckets()), list(made.blocks())):
        assert (np.concatenate(blocks) == expected).all()
    firsts = [set(block[:, 0].tolist()) for block in made.buckets()]
    assert sum(map(len, firsts)) == len(set.union(*firsts)) == len(set(rows[:, 0].tolist()))
    assert not list(tmp_path.iterdir())
