"""What is kept of a removal, and what is taken for one that another clone made."""

from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest

from components.core.errors import UserError
from components.core.files import read_json
from components.lineage.documents import Traced
from flows.system import paths
from flows.tracking import forgotten
from flows.tracking.forgetting import Copy
from flows.tracking.snapshots import Snapshot


def test_a_second_removal_by_a_query_adds_to_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "FINDINGS", tmp_path)
    found = iter([[Copy("1", "a", "workspace")], [Copy("1", "a", "x"), Copy("2", "b", "x")], []])
    monkeypatch.setattr(forgotten, "copies", lambda documents, ids, view: (next(found), []))
    one, two = (SimpleNamespace(name="causal", version=number) for number in (1, 2))
    assert forgotten.recorded("a query")["ids"] == []
    forgotten.record("a query", [], {"a" * 16}, [one])
    forgotten.record("a query ", [], {"b" * 16}, [two])
    forgotten.record("a query", [], set(), [])  # an apply that goes on after a kill finds nothing any more
    known = forgotten.recorded("a query")
    assert known["ids"] == ["a" * 16, "b" * 16]
    assert [row["md5"] for row in known["copies"]] == ["1", "2"]
    assert known["versions"] == [["causal", "1"], ["causal", "2"]]
    (file,) = (tmp_path / "forgotten").iterdir()
    assert "a query" not in file.name + str(read_json(file))


def test_a_purge_of_what_was_never_taken_out_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "FINDINGS", tmp_path)
    monkeypatch.setattr(forgotten, "states", lambda: iter(()))
    monkeypatch.setattr(forgotten.snapshots, "committed", lambda: iter(()))
    with pytest.raises(UserError, match="nothing was taken out by this query"):
        forgotten.to_purge("a query")


@pytest.mark.parametrize("rule", ["opted_out", "too_short"])
def test_a_removal_of_another_clone_is_recorded_from_old_states_with_the_models_that_saw_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: str
) -> None:
    dropped = tmp_path / "dropped.parquet"
    pl.DataFrame({"id": ["a" * 16], "sha256": ["b" * 64], "rule": [rule]}).write_parquet(dropped)
    old = Snapshot("wise-heron", "run", {"mix": {"outs": [{"path": "data/mix", "md5": "1.dir"}]}})
    monkeypatch.setattr(forgotten, "states", lambda: iter([Snapshot("workspace", "workspace", {}), old]))
    monkeypatch.setattr(forgotten.snapshots, "committed", lambda: iter(()))
    monkeypatch.setattr(forgotten, "shards", lambda view, stage, part: [(0, "part", dropped)])
    monkeypatch.setattr(forgotten, "cached_view", lambda state: lambda path: None)
    monkeypatch.setattr(forgotten, "wide_query_of", lambda text, view: None)
    monkeypatch.setattr(forgotten, "trace", lambda query, view: [Traced({"id": "a" * 16})])
    monkeypatch.setattr(forgotten, "models", lambda: [SimpleNamespace(mix="1.dir"), SimpleNamespace(mix="2.dir")])
    monkeypatch.setattr(forgotten, "seen_by", lambda model, document: f"a model of {model.mix}")
    monkeypatch.setattr(forgotten, "versions_that_saw", lambda matches: matches[0].seen)
    recorded: list[tuple] = []
    monkeypatch.setattr(forgotten, "record", lambda *values: recorded.append(values))
    if rule != "opted_out":
        with pytest.raises(UserError, match=f"not taken out of the workspace: {'a' * 16}; "):
            forgotten.record_elsewhere("a query")
        assert not recorded
        return
    forgotten.record_elsewhere("a query")
    ((_, _, ids, saw, _),) = recorded
    assert (ids, saw) == ({"a" * 16}, ["a model of 1.dir"])
