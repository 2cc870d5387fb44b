"""What is kept of a removal, and what is taken for one that another clone made."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from components.core.errors import UserError
from components.core.files import read_json
from flows.system import paths
from flows.tracking import forgotten
from flows.tracking.forgetting import Copy


def test_a_second_removal_by_a_query_adds_to_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "STATE", tmp_path)
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
    monkeypatch.setattr(paths, "STATE", tmp_path)
    monkeypatch.setattr(forgotten, "states", lambda: iter(()))
    monkeypatch.setattr(forgotten.snapshots, "committed", lambda: iter(()))
    with pytest.raises(UserError, match="nothing was taken out by this query"):
        forgotten.to_purge("a query")
