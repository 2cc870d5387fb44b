"""A corpus folder opens with `datasets.load_dataset`, as docs/guide.md says."""

from pathlib import Path

import pytest
from datasets import load_dataset

from components.corpus.corpus import read_corpus
from tests.components.finished_project import corpus


@pytest.mark.parametrize("rule", ["", "a_rule"])
def test_a_corpus_opens_with_datasets(tmp_path: Path, rule: str) -> None:
    corpus(tmp_path / "corpus", 7, rule)
    found = load_dataset(str(tmp_path / "corpus"), split="train", cache_dir=str(tmp_path / "cache"))
    assert found.num_rows == 7
    assert {"id", "text", "licence"} <= set(found.column_names)
    if not rule:
        assert found["text"][:] == [document.text for document in read_corpus(tmp_path / "corpus")]
