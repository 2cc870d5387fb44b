"""What a removal takes along, what is kept of it in git, and its experiments, registered models and remotes."""

import json
from dataclasses import asdict, replace
from hashlib import md5
from pathlib import Path

import numpy as np
import pytest

from components.core.files import sha256_bytes
from components.corpus.corpus import CorpusWriter, Document
from components.lineage.documents import DocumentLocation, Query, Traced
from components.lineage.needles import Needles
from components.stages.ingest.heldout_split import cut_document
from components.stages.ingest.opt_out import load
from flows.tracking import forgetting, snapshots
from flows.tracking.search import FILE, Search
from flows.tracking.snapshots import ObjectCache, Snapshot
from flows.tracking.trace_report import TraceMatch
from tests.flows.object_cache import listing


def test_documents_that_quote_are_listed_by_id_beside_what_was_asked_for() -> None:
    facts = {"id": "a" * 16, "sha256": "c" * 64, "location": "letter.txt"}
    found = [TraceMatch(Traced(facts), [], Snapshot("workspace", "workspace", {}), lambda path: None)]
    ids, along = {"a" * 16, "b" * 16}, f"id: {'b' * 16}"
    assert forgetting.entries(Query("location", "letter.txt"), found, ids) == ["location: letter.txt", along]
    assert forgetting.entries(Query("passage", "five words"), found, ids) == [f"sha256: {'c' * 64}", along]


@pytest.mark.parametrize("location", ["letter.txt", "letters.jsonl#id=3"])
def test_of_a_document_cut_for_the_heldout_set_either_half_names_the_whole(location: str, tmp_path: Path) -> None:
    """The list had the hash of the half, ingest compared it with the whole's, and the text was still there."""
    text = "A word of it. " * 40
    whole = Document("a" * 16, text, "mine", "1", location, "", "MIT", "", "", sha256_bytes(text.encode()), ())
    head, tail = cut_document(whole, 300) or ()
    for part, piece in (("train", head), ("heldout", tail)):
        with CorpusWriter(tmp_path / "data/ingest" / part) as writer:
            writer.add(piece)
    state = Snapshot("workspace", "workspace", {})
    both = [TraceMatch(Traced(asdict(piece)), [], state, lambda path: None) for piece in (head, tail)]
    ids = {head.id, tail.id}
    for match in both:
        cut = forgetting.cut_locations([match], lambda path: tmp_path / path)
        assert cut == {head.location, tail.location}
        for kind, value in (("passage", "a word"), *((name, match.document.facts[name]) for name in ("id", "sha256"))):
            opt_out = tmp_path / "opt_out.txt"
            opt_out.write_text("\n".join(forgetting.entries(Query(kind, value), [match], ids, cut)))
            assert load(opt_out).line_of(whole), (kind, match.document.facts["location"])


def test_copies_that_dedup_dropped_go_too_and_say_why(tmp_path: Path) -> None:
    """One document was asked for, and two went, without a word."""
    stays, copied = "a" * 16, "b" * 16
    why = f"Jaccard 0.9 of word n-grams with kept {stays} (letter.txt)"
    text = Document(copied, "", "mine", "1", "copy.txt", "", "MIT", "", "", "c" * 64, ())
    with CorpusWriter(tmp_path / "data/dedup/dropped", dropped=True) as writer:
        writer.add(text, "near_duplicate", why)
        writer.add(replace(text, id="d" * 16), "near_duplicate", f"Jaccard 0.9 with kept {'e' * 16} (other.txt)")
    at = DocumentLocation("dedup", "train", 0, "part-00000.parquet", 0, stays)
    (found,) = [TraceMatch(Traced({"id": stays}, [at]), [], Snapshot("a", "workspace", {}), lambda path: None)]
    rows = forgetting.dropped_for([found], lambda path: tmp_path / path)
    assert rows == [{"id": copied, "location": "copy.txt", "reason": why}]


def test_an_experiment_goes_though_the_workspace_has_all_its_objects(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locks = {name: listing(cache, {"part-0": file}) for name, file in (("saw", "bad"), ("never", "good"))}

    def state(name: str) -> Snapshot:
        return Snapshot(name, "experiment", {"mix": {"outs": [{"path": "data/mix", "md5": locks[name]}]}})

    monkeypatch.setattr(snapshots, "experiments", lambda: dict.fromkeys(locks, "commit"))
    monkeypatch.setattr(snapshots, "find", state)
    assert forgetting.experiments_with({"bad"}) == ["saw"]


def test_what_was_purged_from_the_remote_is_no_error_of_dvc(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from dvc.repo import Repo

    with Repo.init(str(tmp_path), no_scm=True) as repo, repo.config.edit() as config:
        config["remote"]["far"] = {"url": str(tmp_path / "remote")}
        config["core"]["remote"] = "far"
    text = json.dumps([{"md5": "0" * 32, "relpath": "purged.parquet"}])
    folder = f"{md5(text.encode()).hexdigest()}.dir"
    (there := tmp_path / "remote" / "files" / "md5" / folder[:2] / folder[2:]).parent.mkdir(parents=True)
    there.write_text(text)
    store = ObjectCache(tmp_path)
    store.pull({folder})
    store.pull({folder, "0" * 32})  # from now on DVC believes that the remote has what a folder lists
    assert store.files(folder) == {"purged.parquet": "0" * 32}
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.usefixtures("mlflow_tables")
def test_versions_that_saw_a_text_and_the_aliases_that_point_at_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setattr(forgetting, "client", lambda: client)
    client.create_registered_model("greenhouse-causal-2")
    saw, later = (client.create_model_version("greenhouse-causal-2", str(tmp_path)) for _ in range(2))
    client.set_registered_model_alias("greenhouse-causal-2", "champion", saw.version)
    client.set_registered_model_alias("greenhouse-causal-2", "challenger", later.version)
    assert forgetting.versions_of({"1.dir"}) == []
    client.set_model_version_tag("greenhouse-causal-2", saw.version, "dvc.md5", "1.dir")
    assert [one.version for one in forgetting.versions_of({"1.dir"})] == [saw.version]
    assert forgetting.aliases_of(forgetting.versions_of({"1.dir"})) == ["greenhouse-causal-2@champion"]


def search(salt: int, ids: set[str], runs: list[int], **copies: str) -> Search:
    return Search(Needles(salt, np.array(runs, np.uint64)), ids, copies=copies, models={"1.dir"})


def test_a_second_removal_by_a_query_adds_to_the_record(checkout: Path) -> None:
    assert forgetting.recorded("a query").ids == set()
    forgetting.record("a query", search(7, {"a" * 16}, [3, 9], x1="a of workspace"))
    forgetting.record("a query ", search(7, {"b" * 16}, [4], x1="a of x", x2="b of x"))
    forgetting.record("a query", search(7, set(), []))  # an apply that goes on after a kill finds nothing any more
    forgetting.record("another", search(7, {"c" * 16}, [5]))
    known = forgetting.recorded("a query")
    assert known.ids == {"a" * 16, "b" * 16}
    assert known.copies == {"x1": "a of workspace", "x2": "b of x"}, "an object may be of another state by now"
    assert (known.models, known.needles.salt, known.needles.own.tolist()) == ({"1.dir"}, 7, [3, 4, 9])
    assert "a query" not in (checkout / FILE).read_text()
