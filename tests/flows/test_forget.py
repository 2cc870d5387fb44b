"""`greenhouse forget`: what it says of a document before anything is changed."""

import os
import re
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from benchmarks.proof.leftovers import CORPORA, Sought, kinds_of, left, places_with, sought, weights_left
from benchmarks.proof.planted import not_named
from components.carbon.planning.forecast import StageForecast
from components.carbon.spans import Bounds
from components.corpus.corpus import read_corpus
from components.lineage.documents import DocumentLocation, Query, Traced
from components.lineage.needles import Needles
from flows import forget
from flows.plan import PlanRow
from flows.tracking.search import Search
from tests.errors import refuses, shows
from tests.flows.pipeline_clone import REMOTE, PipelineClone, cloned

pytestmark = [pytest.mark.pipeline]


def test_a_dry_run_names_models_price_and_copies_and_changes_nothing(
    finished_clone: PipelineClone, finished_outputs: Callable[[], dict[str, str]]
) -> None:
    trained_on = next(iter(read_corpus(finished_clone.root / "data/bias/train"))).id
    said = finished_clone.run("greenhouse", "forget", trained_on)
    assert all(word in said for word in ("causal", "masked", " Wh ", "nothing has changed"))
    assert "\n    DVC's cache: data/mix/train of workspace (files: " in said
    assert finished_clone.outputs() == finished_outputs()
    assert "up to date" in finished_clone.run("dvc", "status")


def test_what_names_nothing_is_one_sentence(finished_clone: PipelineClone) -> None:
    said = finished_clone.run("greenhouse", "forget", "GPL-9.9", expect=1)
    shows(said, "documents.query_of.2", "GPL-9.9", "sources", "python-docs", "licences")
    assert "Traceback" not in said


def test_a_text_that_was_taken_out_before_is_no_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(forget, "find_documents", lambda text: (Query("passage", text), []))
    monkeypatch.setattr(forget, "recorded", lambda text: Search(Needles(7), {"0" * 16}))
    monkeypatch.setattr(Search, "everywhere", lambda self: self)
    assert forget.forget("a few words of it") == 0
    assert "it was taken out before; --purge deletes old copies" in capsys.readouterr().out


def test_what_no_removal_can_take_out_is_refused(finished_clone: PipelineClone) -> None:
    refuses(lambda: forget.find_documents(" "), "forget.find_documents.1")
    before = (finished_clone.root / "opt_out.txt").read_text()
    said = finished_clone.run("greenhouse", "forget", "curriculum/copy", "--apply", expect=1)
    shows(said, "forget.find_documents.3")
    assert "Traceback" not in said
    assert (finished_clone.root / "opt_out.txt").read_text() == before


def test_many_documents_are_left_out_only_where_the_user_agrees(finished_clone: PipelineClone) -> None:
    before = (finished_clone.root / "opt_out.txt").read_text()
    said = finished_clone.run("greenhouse", "forget", "python-docs", "--purge", expect=1)
    shows(said, "forgetting.to_purge.1")
    said = finished_clone.run("greenhouse", "forget", "python-docs", "--apply", expect=1)
    assert "These will be left out:\ndocuments for source python-docs: " in said
    assert "YES=1 in front of the command agrees" in said
    assert (finished_clone.root / "opt_out.txt").read_text() == before


def test_a_clone_whose_objects_were_purged_says_so(fresh_clone: PipelineClone, tmp_path: Path) -> None:
    outs = [{"path": "data/ingest/train", "hash": "md5", "md5": f"{'0' * 32}.dir"}]
    lock = {"schema": "2.0", "stages": {"ingest": {"cmd": "exec python -m flows.stage ingest", "outs": outs}}}
    (fresh_clone.root / "dvc.lock").write_text(yaml.safe_dump(lock))
    (tmp_path / "remote" / "files" / "md5").mkdir(parents=True)
    fresh_clone.run("dvc", "remote", "add", "--default", "far", str(tmp_path / "remote"))
    _, said = fresh_clone.run("greenhouse", "forget", "0" * 16, expect=1).splitlines()
    shows(said, "forget.fetch_corpora", "forget: 1", "purged after a removal")


def test_the_price_is_of_the_stages_that_follow_from_what_changes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of a document that the filter dropped the mixture has nothing, and no model is trained again."""
    deps = {"ingest": [], "dedup": ["data/ingest/train"], "filter": ["data/dedup"], "mix": ["data/filter"],
            "a": ["data/mix"], "b": ["data/mix"], "account": ["reports/filter/metrics.json", "models"]}  # fmt: skip
    outs = {"ingest": ["data/ingest/train"], "a": ["models/a"], "b": ["models/b"]}
    lock = {
        stage: {
            "deps": [{"path": path} for path in paths],
            "outs": [{"path": path} for path in outs.get(stage, [f"data/{stage}", f"reports/{stage}/metrics.json"])],
        }
        for stage, paths in deps.items()
    }
    needs = {"ingest": [], "dedup": ["ingest"], "filter": ["dedup"], "mix": ["filter"], "a": ["mix"], "b": ["mix"],
             "account": ["a", "b", "filter"]}  # fmt: skip
    monkeypatch.setattr(forget.dvc, "graph", lambda: needs)
    monkeypatch.setattr(forget.paths, "LEDGER", tmp_path)
    corpora = ("ingest/train", "dedup/train", "filter/train", "bias/train", "mix/train")
    places = [DocumentLocation(*corpus.split("/"), 0, "part", 0, "0" * 16) for corpus in corpora]
    document = Traced({}, [*places[:2], replace(places[2], part="dropped")])
    assert forget.stages_to_redo([document], lock) == ["ingest", "dedup", "filter", "mix", "account"]
    assert forget.stages_to_redo([Traced({}, places)], lock) == list(needs)
    seconds = {
        "ingest": 10.0,
        "dedup": 1.0,
        "filter": 1.0,
        "mix": 1.0,
        "a": 40.0,
        "b": 30.0,
        "account": 2.0,
        "around": 5.0,
    }
    rows = [
        PlanRow(name, "", StageForecast(name, Bounds(one, one, one), Bounds(0, 0, 0), ""))
        for name, one in seconds.items()
    ]
    assert forget.elapsed_s(rows) == 10 + 1 + 1 + 1 + 40 + 2 + 5, "two stages run at a time"


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(900, func_only=True)
def test_from_a_fresh_clone_a_text_goes_with_all_its_copies(
    finished_clone: PipelineClone, databases: Path, tmp_path: Path
) -> None:
    """Looked for in the bytes of every file; benchmarks/proof does the same with three texts at the demo's size."""
    clone, remote = finished_clone, tmp_path / "remote"
    head = clone.git("rev-parse", "HEAD").strip()
    clone.run(*REMOTE, str(remote))
    clone.git("add", "--force", "dvc.lock")
    clone.git("commit", "--quiet", "--message", "made here")
    try:
        clone.run("dvc", "push")
        clone.run("greenhouse", "sync", "push")
        mate, other = (cloned(clone, tmp_path / name) for name in ("mate", "other"))
    finally:
        clone.git("reset", "--quiet", head)
        (clone.root / ".dvc/config.local").unlink()
    for one in (mate, other):
        shutil.copytree(databases, one.root / ".greenhouse", dirs_exist_ok=True)  # empty, as they would make them
    other.run("dvc", "pull")
    name = forgettable(clone)
    wanted = sought(clone.root, name)
    assert kinds_of(left(remote, wanted)) == {"text", "tokens", "weights"}
    assert "around the stages" in mate.run("greenhouse", "forget", name), "priced from the team's records"
    said = mate.run("greenhouse", "forget", name, "--apply", YES="1")
    assert re.search(r"\nremoved: \d+ documents?; no corpus of the workspace has one", said)
    said = said.partition("\nremoved: ")[2]
    assert "; words left in the workspace" in said
    assert name in said.partition("\nleft in the sources themselves")[2]
    assert "no model" not in said
    purged(mate, name, wanted)
    assert left(remote, wanted) == []
    assert "up to date" in mate.run("dvc", "status")
    mate.run("dvc", "push")
    for file in ("dvc.lock", "opt_out.txt", "forgotten.json"):  # as git brings them
        shutil.copy(mate.root / file, other.root / file)
    other.run("dvc", "pull")
    assert kinds_of(left(other.root, wanted)) == {"text", "tokens", "weights"}
    purged(other, name, wanted)
    said = mate.run("greenhouse", "forget", name)  # the record of its removal has its name
    assert "models that were pretrained on them" not in said
    assert "on opt_out.txt already" in said
    assert "price of their removal" not in said


def purged(clone: PipelineClone, name: str, wanted: Sought) -> None:
    """Purge; of what only the documents had, words that others have by now are left, each place named, and no weights.

    Where a source is cut at a size, another document comes in the place of one, and may have a run of its words.
    """
    said = clone.run("greenhouse", "forget", name, "--purge", YES="1")
    assert "\nremoved " in said
    assert name not in {one.location.split("#")[0] for part in CORPORA for one in read_corpus(clone.root / part)}
    assert not_named(clone.root, places_with(clone.root, wanted.runs), said) == []
    assert weights_left(clone.root, wanted) == []


def forgettable(clone: PipelineClone) -> str:
    """The location of the longest document that is trained on whole."""
    held = {one.location.split("#")[0] for one in read_corpus(clone.root / "data/ingest/heldout")}
    size = {one.location: len(one.text) for one in read_corpus(clone.root / "data/mix/train")}
    own = {name: num for name, num in size.items() if "#" not in name and name not in held and "/" in name}
    return max(own, key=own.__getitem__)


def test_ctrl_c_waits_for_the_pipeline_and_says_what_is_changed_already(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(command: list[str], cwd: Path, preexec_fn: Callable[[], None]) -> SimpleNamespace:
        assert command[-2:] == ["run", "--yes"], "the filter's stop for a person refused every removal"
        os.kill(os.getpid(), signal.SIGINT)
        return SimpleNamespace(returncode=75)

    monkeypatch.setattr(forget.subprocess, "run", interrupted)
    before = signal.getsignal(signal.SIGINT)
    refuses(lambda: forget.make_again(), "forget.make_again", "opt_out.txt")
    assert signal.getsignal(signal.SIGINT) is before
