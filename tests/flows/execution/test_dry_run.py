"""`greenhouse run --only STAGE --dry-run` prints what the stage would do with params.yaml, and changes nothing."""

from pathlib import Path
from typing import Any

import pytest

from components.core.errors import UserError
from components.corpus.corpus import CorpusWriter, Document
from components.params import document
from flows import cli
from flows.system import params_file, paths

TEXT = "The committee met on Tuesday to discuss the budget, and its members agreed that more time was needed. "
OTHER = "She had written to all of them in the spring, and when nobody came she closed the house and went to the sea."


def write_params(root: Path, values: dict[str, Any]) -> None:
    """The parameter files as they ship, but for some values."""
    (root / "params.yaml").write_text(params_file.edited(document.params_text(), values))
    (root / "defaults.yaml").write_text(document.defaults_text())


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with a params.yaml of its own and three training documents, one of them the held-out one's copy."""
    texts = {"short": "Click here", "letter": TEXT + "Write to jane.doe@mail.org.", "copy": OTHER}
    for folder, names in (("data/dedup/train", list(texts)), ("data/ingest/heldout", ["copy"])):
        with CorpusWriter(tmp_path / folder) as writer:
            for name in names:
                writer.add(Document(name, texts[name], "docs", "1", name, name, "MIT", "test", "2025-01-01", "0" * 64))
    (tmp_path / "eval_sets").mkdir()
    write_params(tmp_path, {"filter.limits": {"min_words": 4}, "runtime.workers": 1})
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    return tmp_path


def main() -> int:
    """Exit status of `greenhouse run --only filter --dry-run`."""
    return cli.answer(["run", "--only", "filter", "--dry-run"])


def test_the_filter_says_what_it_would_drop_and_writes_nothing(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also with values that are tried without being written."""
    before = {path: path.stat().st_mtime_ns for path in checkout.rglob("*")}
    assert main() == 0
    printed = capsys.readouterr().out
    assert "filter, by a sample of 3 documents: docs: 33.3% would go, 33.3% by min_words" in printed
    assert "min_words: short: " in printed
    assert cli.answer(["run", "--only", "filter", "--dry-run", "filter.limits={min_words: 1}"]) == 0
    assert "nothing would go" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in checkout.rglob("*")} == before


def test_without_a_corpus_it_says_what_makes_it(checkout: Path) -> None:
    (checkout / "data/dedup/train/manifest.json").unlink()
    with pytest.raises(UserError, match=r"train: there is no corpus; run .*dedup"):
        main()


def test_a_bad_setting_ends_it_with_one_sentence(checkout: Path) -> None:
    write_params(checkout, {"filter.languages": ["xx"]})
    with pytest.raises(UserError, match=r"^filter\.languages: 'xx' is no language"):
        main()
    with pytest.raises(UserError, match=r"^mix has no dry run, ingest and filter have one;"):
        cli.answer(["run", "--only", "mix", "--dry-run"])


def test_evaluation_sets_that_are_not_there_end_it_as_they_end_a_run(checkout: Path) -> None:
    (checkout / "eval_sets").rmdir()
    with pytest.raises(UserError, match=r"filter\.decontaminate\.items: "):
        main()
