"""Values that would change every user's result: held-out works, data order, masks, shingles, ids of documents.

Integers and hashes of integers. A change here is one of bytes: say so in the commit and in CHANGELOG.md.
"""

import hashlib
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from components.similarity.shingles import shingle_sets
from components.stages.ingest.heldout_split import HeldoutSplit
from components.stages.ingest.records import Options, Origin, RawRecord, RecordStatus, entry_of
from components.text.packed_bytes import pack
from components.training.data_order import pretrain_batches
from components.training.objectives import hidden_places
from greenhouse_record.order import permuted

GOLDEN: dict[str, Any] = {
    "id": "e9b0019d01870f6e",
    "hash": 10582256770994164593,
    "sides": "39accfe7f8e6319b",
    "order": "5d325ae184001686",
    "small": "201c0dc17a1dd050",
    "batches": "a580c852fa4238c6",
    "masks": "93dd5b0ac7d47f64",
    "counts": [9, 1, 1],
    "shingles": "0b3e126ed01031f5",
}


def digest(values: object) -> str:
    return hashlib.sha256(repr(values).encode()).hexdigest()[:16]


def entry(number: int, source: str = "wiki") -> RecordStatus:
    record = RawRecord("A sentence of its own. " * (5 + number % 7), key=str(number), group=f"work {number % 40}")
    return entry_of(record, "a/b.jsonl", "", Origin(source, "1"), Options(min_bytes=1, max_chars=10_000))


def test_ids_of_documents() -> None:
    assert entry(7).document.id == GOLDEN["id"]
    assert entry(7, "other").document.id != entry(7).document.id


def test_which_works_are_held_out_depends_on_salt_source_and_name() -> None:
    split = HeldoutSplit(0.06, "greenhouse")
    assert split.hash_of("wiki", "work 1") == GOLDEN["hash"]
    salted = HeldoutSplit(0.06, "x").hash_of("wiki", "work 1")
    others = {split.hash_of("wikj", "work 1"), split.hash_of("wiki", "work 2"), salted}
    assert len(others | {GOLDEN["hash"]}) == 4
    entries = [entry(number) for number in range(200)]
    for one in entries:
        split.observe(one.document, one.num_bytes)
    sides = [[side for side, _ in split.sides(one.document, one.num_bytes)] for one in entries]
    assert digest(sides) == GOLDEN["sides"]


def test_data_order_and_batches_that_do_not_overlap() -> None:
    assert digest([permuted(index, 1000, 42) for index in range(1000)]) == GOLDEN["order"]
    assert digest([[permuted(index, size, 42) for index in range(size)] for size in range(40)]) == GOLDEN["small"]
    seen: list[int] = []

    def window(start: int, length: int) -> np.ndarray:
        seen.append(start)
        return np.zeros(length, dtype=np.int64)

    shards = SimpleNamespace(num_tokens=5000, window=window)
    recorded = pretrain_batches(cast(Any, shards), context=16, batch=4, seed=3, mask_rate=None, document_mask=False)
    for number in range(recorded.windows(recorded.phases[0]).count // 4):
        recorded(number)
    assert len(set(seen)) == len(seen)  # within an epoch no window is read twice
    assert digest(seen) == GOLDEN["batches"]


def test_masks_depend_on_seed_and_sample() -> None:
    row = np.arange(64)
    places = [np.flatnonzero(hidden_places(row, 0.3, 1, sample)).tolist() for sample in range(5)]
    assert digest(places) == GOLDEN["masks"]
    assert len({str(one) for one in places}) == 5
    assert np.flatnonzero(hidden_places(row, 0.3, 2, 0)).tolist() != places[0]


def test_shingles() -> None:
    texts = [b"The quality of mercy is not strained, it droppeth as the gentle rain.", b"one two", "Ünï códe".encode()]
    values, counts = shingle_sets(pack(texts), 5, 1)
    assert counts.tolist() == GOLDEN["counts"]
    assert digest(values.tolist()) == GOLDEN["shingles"]
