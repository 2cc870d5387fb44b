"""Token shards: one index over all shards, and nothing damaged is read."""

import errno
from collections.abc import Callable
from pathlib import Path
from threading import Event
from time import sleep

import numpy as np
import pytest

from components.core.errors import Stopped
from components.core.files import sha256_file
from components.tokens import shards
from components.tokens.shards import TokenShards, TokenWriter
from tests.errors import refuses


def write(folder: Path, vocab_size: int = 500, num_shards: int = 3) -> np.ndarray:
    """Three shards of random documents; their ids in order."""
    rng = np.random.default_rng(7)
    with TokenWriter(folder, vocab_size, "0" * 64, ["prose", "verse"]) as writer:
        written = []
        for _ in range(num_shards):
            lengths = rng.integers(1, 20, 6)
            ids = rng.integers(6, vocab_size, lengths.sum())
            ids[np.concatenate([[0], np.cumsum(lengths)[:-1]])] = 0
            writer.add_shard(ids, lengths, rng.integers(0, 2, 6), lengths * 3)
            written.append(ids)
    return np.concatenate(written)


def test_every_window_equals_the_flat_corpus(tmp_path: Path) -> None:
    ids = write(tmp_path)
    shards = TokenShards.open(tmp_path)
    assert len(shards) == shards.num_tokens == len(ids)
    for start in range(len(ids) + 1):
        for length in range(len(ids) - start + 1):
            window = shards.window(start, length)
            assert window.dtype == np.int64
            assert np.array_equal(window, ids[start : start + length])


@pytest.mark.parametrize(("vocab_size", "dtype"), [(65_536, "uint16"), (65_537, "uint32"), (200_000, "uint32")])
def test_ids_are_as_wide_as_the_vocabulary_needs(tmp_path: Path, vocab_size: int, dtype: str) -> None:
    ids = write(tmp_path, vocab_size)
    shards = TokenShards.open(tmp_path)
    assert shards.manifest.dtype == dtype
    assert np.array_equal(shards.window(0, len(ids)), ids)
    assert (tmp_path / "tokens-00000.bin").read_bytes()[: np.dtype(dtype).itemsize * 2] == ids[:2].astype(
        dtype
    ).tobytes()


@pytest.mark.parametrize(
    ("name", "change", "number"),
    [
        ("tokens-00001.bin", lambda data: data[:-2], 2),
        ("tokens-00002.bin", lambda data: data[:5] + bytes([data[5] ^ 1]) + data[6:], 2),
        ("tokens-00000.bin", None, 1),
        ("documents-00001.npy", None, 1),
        ("sources-00002.npy", None, 1),
    ],
)
def test_a_file_that_was_cut_or_changed_or_is_missing_is_named(
    tmp_path: Path, name: str, change: Callable[[bytes], bytes] | None, number: int
) -> None:
    refuses(lambda: TokenShards.open(tmp_path), "files.read_manifest_file.1", tmp_path)
    with TokenWriter(tmp_path, 300, "", []):
        pass
    refuses(lambda: TokenShards.open(tmp_path), "TokenShards.open", tmp_path)
    write(tmp_path)
    path = tmp_path / name
    data = path.read_bytes()
    path.unlink()
    if change:
        path.write_bytes(change(data))
    refuses(lambda: TokenShards.open(tmp_path), f"files.raise_if_changed.{number}", path)


@pytest.mark.parametrize("num_shards", [1, 2])
def test_a_shard_that_cannot_be_written_leaves_no_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_shards: int
) -> None:
    """Whether the writer is told at once or, while its thread writes, at its next call."""

    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(shards, "written_whole", full)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path, num_shards=num_shards)
    assert not list(tmp_path.iterdir())


def test_after_an_exception_nothing_is_being_written_any_more_and_there_is_no_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = Event()

    def slowly(path: Path) -> str:
        begun.set()
        sleep(0.2)
        return sha256_file(path)

    def stopped_while_it_writes(writer: TokenWriter) -> None:
        with writer:
            writer.add_shard(np.zeros(3, np.int64), np.array([3]), np.zeros(1, np.int64), np.array([9]))
            begun.wait()
            raise Stopped("Cancelled", "stopped")

    monkeypatch.setattr(shards, "sha256_file", slowly)
    writer = TokenWriter(tmp_path, 300, "", ["prose"])
    with pytest.raises(Stopped):
        stopped_while_it_writes(writer)
    assert writer.manifest.num_tokens == 3  # counted when its files are whole
    assert not (tmp_path / "manifest.json").exists()
