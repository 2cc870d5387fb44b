"""The preview of the filter: what a source would lose, before anything runs, and a stop until a person confirms."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from components import params as schema
from flows.planning import preview
from flows.system import dvc, paths
from tests.errors import refused, refuses, shows

GOOD = "Letter {}: the committee met on day {} and put off what it had been asked to decide about the bridge of {}."
SPAM = "欢迎光临本店，第{}次欢迎光临本店。" * 30


def corpus(folder: Path, spam: int, good: int = 200) -> schema.Params:
    """Parameters with two sources of files: letters, and mail with so much spam."""
    (folder / "eval_sets").mkdir(parents=True)
    letters = [[GOOD.format(at, at + 1, at + 2) for at in range(start, start + good)] for start in (0, 1000)]
    texts = {"letters": letters[0], "mail": letters[1] + [SPAM.replace("{}", str(at)) for at in range(spam)]}
    for name, rows in texts.items():
        lines = "".join(json.dumps({"text": f"{text} {name}"}) + "\n" for text in rows)
        (folder / f"{name}.jsonl").write_text(lines)
    sources = [schema.Files(name=name, path=str(folder / f"{name}.jsonl")) for name in texts]
    params = schema.Params()
    ingest = params.ingest.model_copy(update={"sources": sources, "watch": str(folder)})
    return params.model_copy(update={"ingest": ingest})


@pytest.fixture(autouse=True)
def here(tmp_path: Path, checkout_at: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    checkout_at(tmp_path / "root")
    monkeypatch.setattr(dvc, "stale", lambda: {"filter"})


def test_a_source_that_would_lose_much_stops_until_confirmed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = corpus(tmp_path / "root", spam=50)
    with refused("preview.confirm", "mail by max_duplicate_10gram", "--yes"):
        preview.confirm(params, params, confirmed=False)
    shown = capsys.readouterr().out
    (share, of_rule) = re.findall(r"mail: ([0-9.]+)% would go, ([0-9.]+)% by max_duplicate_10gram", shown)[0]
    assert share == of_rule
    assert float(share) == pytest.approx(20, abs=2), "one document in 16 is held out"
    assert shown.count("欢迎光临本店") >= 3
    assert "letters:" not in shown, "it loses nothing"
    preview.confirm(params, params, confirmed=True)
    assert not list((paths.WORK / "filter/preview").iterdir())


def test_where_all_of_a_sample_would_go_a_person_decides(tmp_path: Path) -> None:
    params = corpus(tmp_path / "root", spam=50, good=0)
    refuses(lambda: preview.confirm(params, params, confirmed=False), "preview.confirm", "mail by max_duplicate_10gram")
    preview.confirm(params, params, confirmed=True)


def test_files_that_will_not_be_read_are_named_by_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "root" / "mine"
    params = corpus(tmp_path / "root", spam=0)
    folder.mkdir()
    (folder / "a.txt").write_text(GOOD * 9)
    for number in range(5):
        (folder / f"{number}.png").touch()
    (folder / ".hidden.txt").touch()
    (folder / "german.txt").write_bytes((GOOD + "Grüße").encode("latin-1", "replace"))
    (folder / "wide.txt").write_text(GOOD, encoding="utf-16")
    (folder / "names.csv").write_text("name\nsomebody\n")
    (folder / "posts.jsonl").write_text(json.dumps({"text": GOOD}) + '\n{"text": "Oh."}\n')
    ingest = params.ingest.model_copy(update={"sources": [schema.Files(name="mine", path=str(folder))]})
    params = params.model_copy(update={"ingest": ingest})
    preview.confirm(params, params, confirmed=False)
    *lines, table, encoding, unkept, _, short = capsys.readouterr().out.splitlines()[:8]
    assert lines == [
        "mine: files that will not be read: 8",
        "  5 x .png is no format that ingest reads: 0.png, 1.png, 2.png, ...",
        "  1 x hidden: .hidden.txt",
    ]
    assert encoding == "  1 x text that is not UTF-8: `iconv -f ENCODING -t utf-8` converts a file: german.txt"
    assert unkept.startswith("ingest, by a sample of ")
    assert "by too_short" in unkept
    assert short.startswith("    too_short: posts.jsonl")
    shows(table, "without_column.2", "1 x", "'text'", "there are: name", "names.csv")


def test_a_little_is_no_reason_to_stop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    params = corpus(tmp_path / "root", spam=1)
    preview.confirm(params, params, confirmed=False)
    assert "mail: 0.5% would go" in capsys.readouterr().out


def test_where_the_filter_does_not_run_nothing_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = corpus(tmp_path / "root", spam=50)
    monkeypatch.setattr(dvc, "stale", lambda: {"pretrain@causal"})
    preview.confirm(params, params, confirmed=False)
    assert not paths.WORK.exists()
    loose = params.model_copy(update={"filter": params.filter.model_copy(update={"redact": []})})
    refuses(lambda: preview.confirm(loose, params, confirmed=False), "preview.confirm", "mail")


def test_a_sample_is_of_documents_and_not_of_files(tmp_path: Path) -> None:
    """Of a hundred small files and one that had nearly all documents, .5% would go where 9.1% went."""
    params = corpus(tmp_path / "root", spam=0)
    folder = tmp_path / "root" / "mixed"
    folder.mkdir()
    for number in range(100):
        (folder / f"{number}.txt").write_text(GOOD.format(number, number, number))
    row = json.dumps({"text": GOOD * 30})
    (folder / "many.jsonl").write_text(f"{row}\n" * 4000)
    sources = [schema.Files(name="mixed", path=str(folder))]
    ingest = params.ingest.model_copy(update={"sources": sources, "watch": str(folder)})
    local = preview.local_files(params.model_copy(update={"ingest": ingest}), tmp_path / "root")
    documents, _ = preview.sample(local)
    of_many = sum(one.location.count("many.jsonl") for one in documents)
    assert of_many / len(documents) > 0.9


def test_one_line_of_14_megabytes_hides_no_other_from_the_sample(tmp_path: Path) -> None:
    """By the size of the file, every seventh record was looked at: one of seven."""
    params = corpus(tmp_path / "root", spam=0, good=6)
    rows = (tmp_path / "root" / "letters.jsonl").read_text()
    (tmp_path / "root" / "letters.jsonl").write_text(rows + json.dumps({"text": "word " * 2_800_000}) + "\n" + rows)
    documents, losses = preview.sample(preview.local_files(params, tmp_path / "root"))
    assert len([one for one in documents if one.source == "letters"]) == 12
    assert [(one.source, one.documents, one.rules) for one in losses] == [("letters", 13, {"too_long": 1})]
