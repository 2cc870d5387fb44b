"""What `greenhouse trace` prints of a document that the workspace does not have any more."""

import json
from pathlib import Path

import numpy as np
import pytest

from components.lineage.documents import DocumentLocation, Query, Traced
from components.lineage.needles import Needles
from components.lineage.readings import NeedleHit
from components.tokens.shards import TokenWriter
from flows.tracking import trace_report
from flows.tracking.search import FileMatch, Search
from flows.tracking.snapshots import Snapshot
from flows.tracking.trace_report import TraceMatch

FACTS = dict.fromkeys(
    ("id", "source", "source_version", "location", "licence", "licence_from", "retrieved", "sha256"), "x"
)


@pytest.mark.parametrize("fits", [True, False])
def test_the_tokens_are_those_of_the_state_that_has_the_document(tmp_path: Path, fits: bool) -> None:
    with TokenWriter(tmp_path / "data/tokenize/train", 4096, "", ["numbers"]) as writer:
        sizes = np.array([30, 12, 50], np.int64)
        writer.add_shard(np.arange(92, dtype=np.uint32), sizes, np.zeros(3, np.int64), sizes)
    lock = {
        "mix": {"outs": [{"path": "data/mix", "md5": "1.dir"}]},
        "tokenize": {"deps": [{"path": "data/mix", "md5": "1.dir" if fits else "2.dir"}]},
    }
    document = Traced(FACTS, [DocumentLocation("mix", "train", 0, "part-00000.parquet", 1, "x")])
    match = TraceMatch(document, [], Snapshot("wise-heron", "run", lock), lambda path: tmp_path / path)
    lines = [line.strip() for line in trace_report._document_lines(match)]
    assert "not in the workspace; in the state wise-heron:" in lines
    assert ("tokenize train      tokens-00000.bin, tokens 30 to 42" in lines) == fits


def test_rows_that_hold_the_text_are_told_beside_the_documents_and_are_in_the_json(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trace_report, "near", lambda passage, view: [])
    query, search = Query("passage", "five words or more here"), Search(Needles())
    search.matches.append(FileMatch("finetune.classify.data", "a.jsonl", (NeedleHit("a.jsonl line 1", 0, True),)))
    lines = list(trace_report.answer_lines(query, [], search))
    assert lines[0].startswith("No document has this passage")
    assert lines[-1].strip() == "finetune.classify.data: a.jsonl: what was asked for in a.jsonl line 1"
    search.unsearched.append("rows of finetune@instruct of run-a: b: it is gone")
    assert list(trace_report.answer_lines(query, [], search))[-2:] == ["\nNot searched:", f"    {search.unsearched[0]}"]
    answer = json.loads(trace_report.as_json(query, [], search))
    assert (answer["documents"], [one["places"] for one in answer["files"]]) == ([], [["a.jsonl line 1"]])
    assert answer["not_searched"] == search.unsearched
