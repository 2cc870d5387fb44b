"""The shuffle: one order for a seed, whatever comes in first and however many buckets."""

import os
import resource
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from components.corpus.corpus import Document
from components.corpus.shuffle import BYTES_BUFFERED, MOST_BUCKETS, shuffled
from tests.components.real_text import document, modules

DOCUMENTS = [*modules("scipy", 60), *(document(f"small/{number}", f"text {number}") for number in range(5000))]


def order(documents: list[Document], folder: Path, seed: int = 1, buckets: int = 1) -> list[Document]:
    """The documents, shuffled; the folder must be empty before and is after."""
    found = list(shuffled(documents, seed, folder, buckets))
    assert not list(folder.iterdir())
    return found


@pytest.mark.parametrize("buckets", [2, 7, 64])
def test_buckets_and_input_order_are_neutral(tmp_path: Path, buckets: int) -> None:
    assert order(DOCUMENTS[::-1], tmp_path, buckets=buckets) == order(DOCUMENTS, tmp_path)


def test_many_buckets_open_no_more_files_than_a_process_may(tmp_path: Path) -> None:
    """256 is what macOS allows, of which a fresh process uses some 40; a corpus of 100 GB asks for 3000 buckets."""
    allowed, used = resource.getrlimit(resource.RLIMIT_NOFILE), len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 256 - 40, allowed[1]))
    try:
        many = list(shuffled(DOCUMENTS, 1, tmp_path, 3000))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, allowed)
    assert many == order(DOCUMENTS, tmp_path)


def test_what_waits_to_be_written_is_bounded_for_all_buckets_together(tmp_path: Path) -> None:
    long = document("long", "word " * 10_000)
    waiting = []

    def given() -> Iterator[Document]:
        for number in range(2500):
            yield replace(long, id=f"{number:016x}")
            if number % 100 == 99:
                on_disk = sum(path.stat().st_size for path in tmp_path.iterdir())
                waiting.append((number + 1) * len(long.text) - on_disk)

    next(shuffled(given(), 1, tmp_path, 3000))
    assert 0 < max(waiting) <= BYTES_BUFFERED + MOST_BUCKETS * len(long.text)
    assert len(list(tmp_path.iterdir())) < MOST_BUCKETS  # the first has been read
