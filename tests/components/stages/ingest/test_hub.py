"""Data sets in hub layout, streamed by `datasets`; what the hub cannot give is explained."""

from datetime import date
from importlib import metadata
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.corpus.corpus import read_corpus
from components.params import Hub, Ingest, parse
from tests.components.stages.ingest.ingest_run import documents, lines_of, run_ingest
from tests.errors import refused


@pytest.fixture(autouse=True)
def _no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test asks the hub, and nothing is written to the home folder."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "hf" / "datasets"))


def descriptions() -> list[str]:
    """Real prose: the long descriptions of some installed packages."""
    found = [metadata.distribution(name).read_text("METADATA") or "" for name in ("rich", "click", "attrs", "pydantic")]
    paragraphs = [paragraph for text in found for paragraph in text.split("\n\n")[1:] if len(paragraph) > 60]
    return list(dict.fromkeys(paragraphs))[:60]


def test_a_local_data_set_in_hub_layout(mine: Path, tmp_path: Path) -> None:
    (mine / "data").mkdir()
    texts = descriptions()
    half = len(texts) // 2
    for number, part in enumerate((texts[:half], texts[half:])):
        table = pa.table({"body": part, "other": list(range(len(part)))})
        pq.write_table(table, mine / "data" / f"train-{number:05d}-of-00002.parquet")
    source = Hub(dataset="mine", text_field="body", licence="mit", retrieved="2024-02-29")
    report, out = run_ingest(Ingest(sources=[source], watch="mine", max_quarantine=0.5), tmp_path)
    found = documents(out)
    assert {one.text for one in found.values()} == set(texts)
    facts = {(one.licence, one.retrieved) for one in found.values()}
    assert facts == {("MIT", "2024-02-29")}, "the pin's day"
    assert set(found) == {f"train#{n}" for n in range(1, len(texts) + 1)}
    assert report.metrics["documents/heldout"] >= 1


def test_without_a_day_there_is_none_and_a_wrong_one_is_refused(mine: Path, tmp_path: Path) -> None:
    (mine / "train.jsonl").write_text(lines_of(*descriptions()))
    _, out = run_ingest(Ingest(sources=[Hub(dataset="mine")], watch="mine", max_quarantine=0.5), tmp_path)
    assert {document.retrieved for document in read_corpus(out / "data" / "train")} == {""}, "never the clock's"
    wrong = {
        "2023-02-29": ("root.parse", "day is out of range"),
        "20230201": ("params.ingest._day.2", "YYYY-MM-DD"),
        date(2023, 2, 1): ("params.ingest._day.1", "'2023-02-01'"),
    }
    for day, (code, fact) in wrong.items():
        for source in ({"kind": "hub", "dataset": "mine"}, {"kind": "files", "path": "mine"}):
            with refused(code, "ingest.sources.0", "retrieved =", fact):
                parse({"ingest": {"sources": [source | {"retrieved": day}], "watch": "mine"}})


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, ["sources.hub_dataset", "'owner/name'", "`revision`"]),
        ({"revision": "main"}, ["sources.hub_dataset", "'owner/name'", "`revision`"]),
        ({"revision": "a" * 40}, ["hub._explained", "owner/name@aaaaaaaa", "split train", "0 rows", "hub"]),
        ({"dataset": "mine", "split": "nope"}, ["hub._explained", "the local folder", "split nope", "config"]),
    ],
)
def test_what_cannot_be_read_is_explained(fields: dict, says: list[str], mine: Path, tmp_path: Path) -> None:
    (mine / "train.jsonl").write_text(lines_of("x" * 100))
    with refused(*says):
        run_ingest(Ingest(sources=[Hub(**{"dataset": "owner/name"} | fields)], watch="mine"), tmp_path)
