"""The writer of a corpus: shards in order, though threads write them; no manifest where one could not be written."""

from pathlib import Path

import pytest

from components.corpus.corpus import CorpusWriter, Document, read_corpus, read_manifest

TEXTS = [f"text {number} " * 20 for number in range(50)]


def write(folder: Path) -> None:
    with CorpusWriter(folder, shard_bytes=500) as writer:
        for number, text in enumerate(TEXTS):
            writer.add(Document(str(number), text, *["some"] * 8))


def test_shards_are_in_the_order_of_their_documents(tmp_path: Path):
    write(tmp_path)
    assert [each.text for each in read_corpus(tmp_path)] == TEXTS
    files = [shard.file for shard in read_manifest(tmp_path).shards]
    assert files == [f"part-{number:05d}.parquet" for number in range(len(files))]
    assert len(files) > 10


def test_a_shard_that_cannot_be_written_ends_the_corpus(tmp_path: Path):
    (tmp_path / "part-00003.parquet").mkdir()
    with pytest.raises(IsADirectoryError):
        write(tmp_path)
    assert not (tmp_path / "manifest.json").exists()
    assert not list(tmp_path.glob(".*"))
