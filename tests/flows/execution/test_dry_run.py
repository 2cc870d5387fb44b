"""`greenhouse run --only STAGE --dry-run` prints what the stage would do with params.yaml, and changes nothing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from components.corpus.corpus import CorpusWriter, Document
from tests.errors import refuses
from tests.flows.pipeline_clone import write_params

TEXT = "The committee met on Tuesday to discuss the budget, and its members agreed that more time was needed. "
OTHER = "She had written to all of them in the spring, and when nobody came she closed the house and went to the sea."


@pytest.fixture
def documents(checkout: Path) -> Path:
    """A checkout with a params.yaml of its own and three training documents, one of them the held-out one's copy."""
    texts = {"short": "Click here", "letter": TEXT + "Write to jane.doe@mail.org.", "copy": OTHER}
    for folder, names in (("data/dedup/train", list(texts)), ("data/ingest/heldout", ["copy"])):
        with CorpusWriter(checkout / folder) as writer:
            for name in names:
                writer.add(Document(name, texts[name], "docs", "1", name, name, "MIT", "test", "2025-01-01", "0" * 64))
    (checkout / "eval_sets").mkdir()
    write_params(checkout, {"filter.limits": {"min_words": 4}, "runtime.workers": 1})
    return checkout


DRY_RUN = ("run", "--only", "filter", "--dry-run")


def test_the_filter_says_what_it_would_drop_and_writes_nothing(documents: Path, greenhouse: Callable[..., str]) -> None:
    """Also with values that are tried without being written."""
    before = {path: path.stat().st_mtime_ns for path in documents.rglob("*") if path.is_file()}
    printed = greenhouse(*DRY_RUN)
    assert "filter, by a sample of 3 documents: docs: 33.3% would go, 33.3% by min_words" in printed
    assert "min_words: short: " in printed
    assert "nothing would go" in greenhouse(*DRY_RUN, "filter.limits={min_words: 1}")
    assert {path: path.stat().st_mtime_ns for path in documents.rglob("*") if path.is_file()} == before


def test_what_a_run_would_end_by_ends_it_with_one_sentence(documents: Path, greenhouse: Callable[..., str]) -> None:
    refuses(lambda: greenhouse("run", "--only", "mix", "--dry-run"), "dry_run_of", "mix", "ingest and filter")
    write_params(documents, {"filter.languages": ["xx"]})
    refuses(lambda: greenhouse(*DRY_RUN), "check_languages", "filter.languages", "'xx'")
    write_params(documents)
    (documents / "eval_sets").rmdir()
    refuses(lambda: greenhouse(*DRY_RUN), "contamination_index", "filter.decontaminate.items")
    (documents / "data/dedup/train/manifest.json").unlink()
    refuses(lambda: greenhouse(*DRY_RUN), "preview.of_corpus", "train", "dedup")
