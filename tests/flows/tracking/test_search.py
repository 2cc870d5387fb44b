"""Where forgetting looks for words of a text, and what it says of each place."""

import base64
import json
import re
import shutil
from dataclasses import replace
from hashlib import md5
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.proof.forms import FORMS
from components.core.files import folder_md5, md5_file, write_json
from components.corpus.corpus import Document
from components.lineage.documents import Query
from components.lineage.needles import Needles
from components.tokens.tokenizer import train_bpe
from flows.system import paths
from flows.tracking import forgetting, search, snapshots
from flows.tracking.search import FILE, Search, models_of
from flows.tracking.snapshots import ObjectCache, Snapshot
from flows.tracking.trace_report import search_for
from tests.components.real_text import corpus
from tests.errors import refuses
from tests.flows.object_cache import put
from tests.flows.pipeline_clone import PipelineClone, write_params

QUOTE = "copied the pages by candlelight and sold them to a captain of a foreign vessel"
LETTER = f"Ebenezer Thistlewood kept the harbour ledgers in a locked oak cabinet. His daughter {QUOTE}."
ESSAY = f"He wrote that she {QUOTE}, which nobody in the village believes to this day."
ADDRESS = "jane.doe@mail.org"
INSTRUCT = "models/finetune/instruct"


def a_document(name: str, text: str) -> Document:
    place = md5(name.encode()).hexdigest()
    return Document(place[:16], text, "mine", "1", name, name, "MIT", "", "", place * 2, ())


@pytest.fixture
def root(checkout: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose workspace trained on a letter, an essay that quotes it, and rows that quote it too."""
    written = {"letter.txt": LETTER, "essay.txt": ESSAY, "other.txt": "Unlike them. " * 9}
    texts = [a_document(name, text) for name, text in written.items()]
    for stage in ("ingest", "mix"):
        corpus(tmp_path / f"data/{stage}/train", texts)
    packed = base64.b64encode(f"{{\ud800 {LETTER}".encode("utf-8", "surrogatepass")).decode()
    (evidence := tmp_path / "data/ingest/quarantine/records.jsonl").parent.mkdir()
    evidence.write_text(json.dumps({"rule": "lone_surrogate", "raw_base64": packed}) + "\n")
    tokenizer = train_bpe([LETTER, ESSAY] * 20, 300)
    (tokens := tmp_path / "data/tokenize/train").mkdir(parents=True)
    tokenizer.save(str(tmp_path / "data/tokenize/tokenizer.json"))
    write_json(tokens / "manifest.json", {"dtype": "uint16"})
    ids = [[0, *tokenizer.encode(text.text).ids] for text in texts]
    np.array([at for some in ids for at in some], "<u2").tofile(tokens / "tokens-00000.bin")
    np.save(tokens / "documents-00000.npy", np.cumsum([0, *map(len, ids)]))
    (tmp_path / "models/pretrain/causal").mkdir(parents=True)
    (tmp_path / "models/pretrain/causal/model.safetensors").write_bytes(b"weights")
    rows = [{"prompt": "Who?", "completion": "Nobody."}, {"prompt": "What?", "completion": f"She {QUOTE}."}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "eval_sets").mkdir()
    (tmp_path / "eval_sets/items.txt").write_text(f"Write to {ADDRESS}.\n")
    write_params(tmp_path, {"finetune.instruct.data": "rows.jsonl"})
    (kept := paths.STATE / "mlartifacts/1").mkdir(parents=True)
    (kept / "examples.md").write_text("> kept the harbour ledgers in a locked oak cabinet\n")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{paths.STATE}/mlflow.db")
    monkeypatch.setattr(search, "states", lambda: iter([state_of(tmp_path)]))
    monkeypatch.setattr(search, "workspace_view", lambda path: place if (place := tmp_path / path).exists() else None)
    monkeypatch.setattr(snapshots, "committed", lambda: iter(()))
    PipelineClone(tmp_path).git("init", "--quiet")
    return tmp_path


def state_of(root: Path) -> Snapshot:
    """The state whose outputs lie in a folder, in DVC's cache too."""
    outs = {}
    for out in ("data/ingest/train", "data/ingest/quarantine", "data/mix", "data/tokenize", "models/pretrain/causal"):
        files = {str(one.relative_to(root / out)): one for one in sorted((root / out).rglob("*")) if one.is_file()}
        hashes = {name: md5_file(path) for name, path in files.items()}
        outs[out] = folder_md5(hashes)
        for name, path in files.items():
            put(root / "md5", path.read_bytes(), name=hashes[name])
        put(root / "md5", [{"relpath": name, "md5": one} for name, one in hashes.items()], name=outs[out])
    stages = {
        "ingest": ["data/ingest/train", "data/ingest/quarantine"],
        "mix": ["data/mix"],
        "tokenize": ["data/tokenize"],
        "pretrain@causal": ["models/pretrain/causal"],
    }
    lock = {stage: {"outs": [{"path": out, "md5": outs[out]} for out in named]} for stage, named in stages.items()}
    lock["pretrain@causal"]["deps"] = [{"path": "data/tokenize", "md5": outs["data/tokenize"]}]
    tuned = {
        "deps": [
            {"path": "models/pretrain/causal", "md5": outs["models/pretrain/causal"]},
            {"path": "rows.jsonl", "md5": md5_file(root / "rows.jsonl")},
        ],
        "outs": [{"path": INSTRUCT, "md5": "d751713988987e9331980363e24189ce.dir"}],
    }
    put(root / "md5", [], name="d751713988987e9331980363e24189ce.dir")
    return Snapshot("workspace", "workspace", lock | {"finetune@instruct": tuned})


def searched(ids: set[str], *others: str) -> Search:
    return Search(Needles.of([LETTER], [list(others)], 7), ids).everywhere()


def take_out(root: Path, *others: Document) -> None:
    """Have corpora and tokens without the letter, and others in its place."""
    (root / "data/tokenize/train/tokens-00000.bin").write_bytes(b"")
    for stage in ("ingest", "mix"):
        for path in (root / f"data/{stage}/train").iterdir():
            path.unlink()
        corpus(root / f"data/{stage}/train", [a_document("essay.txt", ESSAY), *others])


def hashes(root: Path, *names: str) -> set[str]:
    return {md5_file(root / name) for name in names}


ID = a_document("letter.txt", LETTER).id
WEIGHTS = "models/pretrain/causal/model.safetensors"
CACHED = {
    "data/ingest/train/part-00000.parquet",
    "data/mix/train/part-00000.parquet",
    "data/tokenize/train/tokens-00000.bin",
}


def test_a_quotation_in_another_document_and_in_rows_is_named_with_its_words(root: Path) -> None:
    """Both disappeared from the answer as soon as one document that stays had the words too."""
    found = {(one.owner, one.path): one.line() for one in searched({ID}, ESSAY).matches}
    assert found["workspace", "data/ingest/train/part-00000.parquet"].endswith(": 15 words in essay.txt")
    assert found["workspace", "data/mix/train/part-00000.parquet"].endswith(": 15 words in essay.txt")
    assert found["workspace", "data/tokenize/train/tokens-00000.bin"].endswith(": 15 words in essay.txt")
    assert "15 words in rows.jsonl line 2" in found["finetune.instruct.data", "rows.jsonl"]
    assert found["MLflow", "1/examples.md"] == "MLflow: 1/examples.md: 9 words"


def test_copies_are_corpora_tokens_and_weights_and_models_go_by_the_same_rule(root: Path) -> None:
    one = searched({ID}, ESSAY)
    in_base64 = "data/ingest/quarantine/records.jsonl"
    assert set(one.copies) == hashes(root, *CACHED, in_base64, WEIGHTS)
    assert one.models == {state_of(root).outputs()["models/pretrain/causal"], "d751713988987e9331980363e24189ce.dir"}


def test_the_same_is_found_when_nothing_has_the_text_any_more(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A removal that goes on after a kill found no documents and no rows, and said that no model saw them.

    Words that a document has which came in its place were called copies, and models trained on them later were to go.
    """
    forgetting.record("a query", searched({ID}, ESSAY))
    take_out(root, a_document("new.txt", "We kept the harbour ledgers in a locked oak cabinet too."))
    states = state_of(root), replace(state_of(root), name="later", kind="run")
    monkeypatch.setattr(search, "states", lambda: iter(states))
    known = forgetting.recorded("a query ")
    assert (known.ids, "ingest" in str(known.copies), forgetting.recorded("another").ids) == ({ID}, True, set())
    kept = (root / FILE).read_text()
    assert not any(word in kept for word in ("a query", "harbour", "candlelight"))
    again = Search(known.needles, known.ids).everywhere()
    said = again.sentence()
    assert said.startswith(f"searched {again.num_places} places; found in:\n    ")
    assert "\n    15 words in rows.jsonl line 2:\n        finetune.instruct.data: rows.jsonl" in said
    files = [f"data/{stage}/train/part-00000.parquet" for stage in ("ingest", "mix")]
    assert f"\n    15 words in essay.txt, 9 words in new.txt:\n        workspace: {', '.join(files)}" in said
    assert again.copies == {}, "what the workspace has too stays with it"
    assert again.models == set()
    assert "not searched:\n    clones, caches and backups of others" in said
    assert "no model" not in said


def test_the_record_of_a_removal_is_no_copy(tmp_path: Path) -> None:
    """Ingest keeps no text of it; a removal that was killed after its pipeline took the record for a copy."""
    rows = [{"id": ID, "sha256": "0", "text": "", "rule": rule} for rule in ("opted_out", "too_short")]
    for row in rows:
        pq.write_table(pa.Table.from_pylist([row]), tmp_path / "part-00000.parquet")
        found = search.rows_of(tmp_path / "part-00000.parquet", "data/ingest/dropped/part-00000.parquet", {ID})
        assert found == ([ID] if row["rule"] == "too_short" else [])


def test_a_team_s_server_is_named_as_not_searched(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert searched({ID}).unsearched == []
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.team")
    assert searched({ID}).unsearched == ["MLflow at https://mlflow.team: its runs and their files"]


def test_a_purge_deletes_what_was_recorded_and_names_what_stays(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forgetting.record("a query", searched({ID}, ESSAY))
    gone, stays = [md5_file(root / path) for path in ("data/mix/train/part-00000.parquet", "eval_sets/items.txt")]
    take_out(root)
    (root / "data/ingest/quarantine/records.jsonl").write_bytes(b"")
    (root / "models/pretrain/causal/model.safetensors").write_bytes(b"others")
    put(root / "md5", (root / "eval_sets/items.txt").read_bytes())
    monkeypatch.setattr(forgetting, "in_remote", lambda hashes: ({}, "DVC remote far: nothing is at far"))
    asked: list[set[str]] = [set()]

    def none_of_mlflow(models: set[str]) -> list:
        asked.append(models)
        return []

    monkeypatch.setattr(forgetting, "versions_of", none_of_mlflow)
    monkeypatch.setattr(snapshots, "experiments", dict)
    monkeypatch.setattr(snapshots, "find", lambda name: state_of(root))
    items, said = forgetting.to_purge("a query")
    folders = ("data/ingest/quarantine", "data/ingest/train", "data/tokenize/train", "models/pretrain/causal")
    deleted = {f"DVC's cache: {folder} of workspace (files: 1)" for folder in folders}
    assert {item.label for item in items} == {*deleted, "MLflow: 1/examples.md"}, "mix has the object of ingest"
    assert all(item.num_bytes for item in items)
    assert not asked[-1] & {*state_of(root).outputs().values()}, "what the workspace has stays in MLflow too"
    for item in items:
        item.remove()
    cached = {path.parent.name + path.name for path in (root / "md5").glob("??/*")}
    assert (gone in cached, stays in cached) == (False, True)
    assert not (paths.STATE / "mlartifacts/1/examples.md").exists()
    assert "15 words in essay.txt:\n        workspace: data/ingest/train/part-00000.parquet, data/mix/" in said
    assert "DVC remote far: nothing is at far" in said
    corpus(root / "data/bias/train", [a_document("letter.txt", LETTER)])
    refuses(lambda: forgetting.to_purge("a query"), "forgetting.to_purge.2", "`greenhouse forget QUERY --apply`")


def test_what_lies_in_dvcs_cache_alone_and_in_git_is_found(root: Path) -> None:
    old = json.dumps({"raw": "RWJlbmV6ZXIgVGhpc3RsZXdvb2Qga2VwdCB0aGUgaGFyYm91ciBsZWRnZXJzIGluIGEgbG9ja2Vk"}).encode()
    put(root / "md5", old, name="ab" * 16)
    PipelineClone(root).git("add", "-f", "rows.jsonl")
    PipelineClone(root).git("commit", "--quiet", "-m", f"She {QUOTE}")
    (paths.STATE / "prefect").mkdir(parents=True)
    (paths.STATE / "prefect/prefect.db").write_bytes(b"SQLite format 3\0" + LETTER.encode())
    one = searched({ID}, ESSAY)
    assert [place.path for place in one.matches if place.owner == "database"] == [".greenhouse/prefect/prefect.db"]
    found = [place.line() for place in one.matches if place.owner == "DVC's cache"]
    assert found == [f"DVC's cache: {'ab' * 16}: 9 words"]
    assert "ab" * 16 not in one.copies, "DVC keeps data of the owner there too"
    in_git = [place.line() for place in one.matches if place.owner == "git"]
    assert sorted(in_git) == ["git: commit: 15 words", "git: rows.jsonl: 15 words in line 2"]


def test_a_long_search_tells_how_far_it_is_beside_its_answer(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(search, "TELL_S", 0.0)
    searched({ID})
    told = capsys.readouterr()
    assert told.out == "", "`trace --json` prints nothing else"
    assert re.search(r"^searched \[[#.]{12}\] \d+/\d+ places, now ", told.err, re.M)


def test_a_text_too_short_for_runs_goes_by_its_id_with_its_tokens(root: Path) -> None:
    one = Search(Needles(7), {ID}).everywhere()
    assert set(one.copies) == hashes(root, *CACHED, WEIGHTS)


def test_what_cannot_be_looked_into_is_said(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state, name = state_of(root), "data/mix/train/manifest.json"
    (root / name).unlink()
    digest = dict(search.files_of(ObjectCache(), state))[name]
    (root / "md5" / digest[:2] / digest[2:]).unlink()
    known = [state, Snapshot("run-a", "run", {"finetune@instruct": tuned_on("gone.jsonl", "7")})]
    for copy in (root / "md5").glob(f"*/{md5_file(root / 'data/mix/train/part-00000.parquet')[2:]}"):
        copy.unlink()
    monkeypatch.setattr(search, "states", lambda: iter([state]))
    assert set(searched({ID}).copies) >= hashes(root, *CACHED), "one lies in the workspace still"
    one = Search(Needles(7))
    one.scan_local_files(known)
    one.scan_states(known)
    said = one.sentence()
    assert "rows of finetune@instruct of run-a: gone.jsonl: it is gone, or not what it was" in said
    assert "workspace: 1 files or folders are in neither DVC's cache nor a remote, where one could look" in said
    assert f"such as {name}; if somebody has them, `dvc push` from there" in said
    one = Search(Needles(7), purged={digest})
    one.scan_states([state])
    assert one.unsearched == [], "what a removal purged is not missing"


def test_a_commit_that_nobody_has_the_files_of_is_named_by_its_day_author_and_words(root: Path) -> None:
    (clone := PipelineClone(root)).git("commit", "--quiet", "--allow-empty", "-m", "Pictures of a run")
    commit = clone.git("rev-parse", "HEAD").strip()
    lock = {"ingest": {"outs": [{"path": "data/ingest/train", "md5": f"{'0' * 32}.dir"}]}}
    one = Search(Needles(7))
    one.scan_states([Snapshot(commit[:9], "revision", lock, commit)])
    (said,) = one.unsearched
    assert said.startswith(f"commit {commit[:9]} (20")
    author = clone.git("log", "-1", "--format=%an").strip()
    assert f", {author}: Pictures of a run): 1 files or folders are in neither DVC's cache nor a remote" in said


def tuned_on(path: str, digest: str) -> dict:
    """A stage whose instruct model was tuned on a file of rows."""
    return {
        "params": {"params.yaml": {"finetune.instruct": {"data": path, "base": "/hub/base"}}},
        "deps": [{"path": "/hub/base", "md5": "0.dir"}, {"path": path.removeprefix("./"), "md5": digest}],
        "outs": [{"path": INSTRUCT, "md5": "d751713988987e9331980363e24189ce.dir"}],
    }


def test_rows_that_models_were_tuned_on_are_searched_though_params_yaml_is_put_back(root: Path) -> None:
    write_params(root)
    rows, digest = ("rows.jsonl", "./rows.jsonl"), md5_file(root / "rows.jsonl")
    one = Search(Needles.of([LETTER], [], 7))
    one.scan_local_files([Snapshot(path, "run", {"finetune@instruct": tuned_on(path, digest)}) for path in rows])
    (found,) = one.matches
    owner = ", ".join(f"rows of finetune@instruct of {path}" for path in rows)
    assert (found.line(), found.md5) == (f"{owner}: rows.jsonl: 15 words in rows.jsonl line 2", digest)


@pytest.mark.parametrize(
    ("query", "files"),
    [(Query("email", ADDRESS.upper()), ["eval_sets/items.txt"]),
     (Query("passage", "pages by candlelight and sold"), ["rows.jsonl"]), (Query("id", "0" * 16), [])],
)  # fmt: skip
def test_a_passage_or_an_address_is_found_in_rows_and_items_that_are_no_documents(
    root: Path, query: Query, files: list[str]
) -> None:
    one = search_for(query, Needles())
    one.scan_local_files()
    assert [found.path for found in one.matches] == files
    assert all("what was asked for" in found.line() for found in one.matches)


def test_documents_that_quote_can_be_taken_along(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgetting, "workspace_view", lambda path: root / path if (root / path).exists() else None)
    needles = forgetting.needles_of([], {ID}, 7)
    assert forgetting.quoting(needles, {ID}) == [a_document("essay.txt", ESSAY).id]
    assert forgetting.quoting(forgetting.needles_of([], {ID}, 0, 0), {ID}) == []
    assert (len(needles.shared), needles.num_common) == (10, 0)
    assert forgetting.needles_of([], {ID}, 7, 0).num_common == 10
    take_out(root)
    assert forgetting.quoting(needles, {ID}) == [a_document("essay.txt", ESSAY).id], "afterwards too"


TUNED = {f"models/finetune/{one}" for one in ("again", "instruct", "from_checkpoint", "copy")}


@pytest.mark.parametrize(
    ("held", "rows", "counts"),
    [("mix/train", (), {"models/pretrain/causal", "models/checkpoints/causal", *TUNED}),
     ("bias/train", (), {"models/finetune/sampled"}), ("ingest/heldout", (), set()), ("dedup/dropped", (), set()),
     ("", ("5",), {"models/finetune/foreign", "models/finetune/of_foreign"})],
)  # fmt: skip
def test_a_tuned_model_counts_by_what_its_own_stage_read_of_the_text(
    held: str, rows: tuple[str, ...], counts: set[str]
) -> None:
    """Models of a foreign base and own rows were listed as copies of any text of the mixture.

    A model tuned from one that counts does, wherever its copy lies; one tuned on other rows of that path does not.
    """
    read = {
        "pretrain@causal": [("data/tokenize", "0.dir")],
        "finetune@again": [("./models/finetune/instruct", "0.dir"), ("own.csv", "4")],
        "finetune@instruct": [("models/pretrain/causal", "0.dir"), ("own.csv", "4")],
        "finetune@from_checkpoint": [("models/checkpoints/causal/step-10", "0.dir")],
        "finetune@copy": [("/elsewhere/causal", "causal.dir")],
        "finetune@sampled": [("/hub/base", "0.dir"), ("data/bias/train", "0.dir")],
        "finetune@of_foreign": [("/elsewhere/foreign", "foreign.dir")],
        "finetune@foreign": [("/hub/base", "0.dir"), ("own.csv", "5")],
    }
    lock = {
        stage: {
            "deps": [{"path": path, "md5": md5} for path, md5 in (*deps, ("data/ingest/heldout", "0.dir"))],
            "outs": [{"path": f"models/{stage.replace('@', '/')}", "md5": f"{stage.partition('@')[2]}.dir"}],
        }
        for stage, deps in read.items()
    }
    lock["pretrain@causal"]["outs"].append({"path": "models/checkpoints/causal", "md5": "1.dir"})
    assert models_of(lock, [f"data/{held}/part-00000.parquet"] if held else [], rows) == counts


def test_other_worktrees_of_git_are_searched_with_their_caches(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """They lie outside of the checkout, so nobody looked there, and nobody said so."""
    clone, other = PipelineClone(root), tmp_path_factory.mktemp("beside") / "other"
    clone.git("commit", "--quiet", "--allow-empty", "--message", "made")
    for place in (other, gone := other.with_name("gone")):
        clone.git("worktree", "add", "--quiet", "--detach", str(place))
    shutil.rmtree(gone)
    shutil.copytree(root / "data", other / "data")
    shutil.move(other / "data/mix", other / "mix")
    (cached := other / search.DVC_OBJECTS / "ab").mkdir(parents=True)
    (cached / "cdef").write_bytes(FORMS["gzip.json"](LETTER))
    (other / "note.7z").write_bytes(FORMS["note.7z"](LETTER))
    found = searched({"0" * 16})
    places = {match.path for match in found.matches if match.owner == f"worktree {other}"}
    assert places == {
        "data/ingest/train/part-00000.parquet", "data/ingest/quarantine/records.jsonl", "mix/train/part-00000.parquet",
        "data/tokenize/train/tokens-00000.bin", "abcdef",
    }  # fmt: skip
    assert {f"worktree {other}: note.7z: 7z, which is not opened", f"worktree {gone}: it is not there"} <= set(
        found.unsearched
    )
