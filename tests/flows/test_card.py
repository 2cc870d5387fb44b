"""`greenhouse card`: the page, the JSON with its schema; bad input in one sentence."""

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from dvc.repo import Repo

from components.stages.account.answers import AgainstChampion, ModelAnswers, NotKnown, QualityAnswer, Verification
from components.studies.withdrawn import withdraw
from flows import export
from flows.system import paths
from flows.tracking import model_origin, snapshots
from flows.tracking.snapshots import ObjectCache, Snapshot
from tests.components.finished_project import project
from tests.errors import refused, refuses
from tests.flows.object_cache import listing, put
from tests.flows.pipeline_clone import write_params

MD5 = "0123456789abcdef0123456789abcdef"
LOCK = {"finetune@instruct": {"outs": [{"path": "models/finetune/instruct", "md5": f"{MD5}.dir"}]}}


@pytest.fixture
def workspace(tmp_path: Path, checkout_at: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished project as the workspace."""
    project(tmp_path / "greenhouse")
    write_params(tmp_path / "greenhouse")
    monkeypatch.setattr(model_origin, "find", lambda name, whole=True: Snapshot(name, "workspace", LOCK, "abc"))
    return checkout_at(tmp_path / "greenhouse")


def test_a_page_for_a_person(workspace: Path, greenhouse: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    shown = greenhouse("card", "instruct")
    for text in ("23 documents", "BSD-3-Clause 23", "Wh", "choice accuracy 0.500 [0.400, 0.600]", " 0.250 ",
                 "nobody has rebuilt these bytes", f'model="{workspace}/models/finetune/instruct"'):  # fmt: skip
        assert text in " ".join(shown.split()), text
    assert shown.startswith("models/finetune/instruct: not the bytes that DVC recorded")
    monkeypatch.setattr("flows.tracking.snapshots.md5_of", lambda place: f"{MD5}.dir")
    assert "not the bytes" not in greenhouse("card", "instruct")


def test_the_json_follows_its_schema(workspace: Path, greenhouse: Callable[..., str]) -> None:
    answers = json.loads(greenhouse("card", "finetune/classify", "--json"))
    schema = json.loads(greenhouse("card", "--schema"))
    jsonschema.validate(answers, schema)
    assert ModelAnswers.model_validate(answers).facts.pipeline_tag == "text-classification"
    assert 'model="models/finetune/classify"' in answers["load"]["call"]  # as in files, which may be moved
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**answers, "cost": None}, schema)


def test_the_last_verification_is_of_these_bytes(workspace: Path) -> None:
    one = Snapshot("workspace", "workspace", LOCK, "abc")
    assert isinstance(model_origin.origin(one, "finetune/instruct").rebuild.verified, NotKnown)
    model_origin.record_verification(one, "finetune@instruct", "", {"processor": "P1", "torch": "2"})
    verified = model_origin.origin(one, "finetune/instruct").rebuild.verified
    assert isinstance(verified, Verification)
    assert (verified.result, verified.processor) == ("identical", "P1")
    other = {"finetune@instruct": {"outs": [{"path": "models/finetune/instruct", "md5": "other.dir"}]}}
    rebuilt = model_origin.origin(Snapshot("x", "revision", other), "finetune/instruct").rebuild
    assert isinstance(rebuilt.verified, NotKnown)


def test_the_stages_behind_a_model_are_those_of_the_state_it_is_of(workspace: Path) -> None:
    out = {"outs": [{"path": "models/finetune/instruct", "md5": f"{MD5}.dir"}]}
    named = {"base": "/hub/Qwen3-0.6B", "data": "chats.jsonl"}
    stale = {"params.yaml": {"finetune": {"instruct": {"base": "models/pretrain/causal"}}}}
    lock: dict[str, dict[str, Any]] = {
        "finetune@instruct": out | {"params": {"params.yaml": {"finetune.instruct": named}}},
        "evaluate": {"params": stale},
    }
    one = Snapshot("workspace", "workspace", lock, "abc")
    answers = model_origin.collect(one, "finetune@instruct")
    assert (answers.base, answers.stages) == ("Qwen3-0.6B", ["finetune@instruct"])
    assert isinstance(answers.rebuild.dvc_lock, str)
    older = model_origin.collect(Snapshot("workspace", "workspace", LOCK, "abc"), "finetune@instruct")
    assert (older.base, older.stages[-2:]) == ("pretrain/causal", ["pretrain@causal", "finetune@instruct"])


def evaluated(cache: Path, scored: str) -> Snapshot:
    """The workspace's state, whose evaluation scored an instruct model with these weights; it has `here`."""
    facts = put(cache, {"models": {"pretrain/causal": "causal", "finetune/instruct": scored}})
    outs = {
        "evaluate": ("reports/evaluate/details", {"facts.json": facts}),
        "finetune@instruct": ("models/finetune/instruct", {"model.safetensors": "here"}),
        "pretrain@causal": ("models/pretrain/causal", {"model.safetensors": "causal"}),
    }
    lock = {stage: {"outs": [{"path": path, "md5": listing(cache, files)}]} for stage, (path, files) in outs.items()}
    return Snapshot("workspace", "workspace", lock, "abc")


def test_scores_and_champion_of_an_earlier_model_are_not_said_of_this_one(
    workspace: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, greenhouse: Callable[..., str]
) -> None:
    """Only the model was made anew, as by `--until finetune@instruct`: the evaluation is of the one before it."""
    facts = workspace / "reports/evaluate/details/facts.json"
    row = {"name": "answers/bits_per_byte", "title": "bits of answers", "value": 0.7, "low": 0.6, "high": 0.8, "n": 9}
    row |= {"model": "finetune/instruct", "measured_by": "evaluate"}
    facts.write_text(json.dumps(json.loads(facts.read_text()) | {"scores": [row]}))
    before, now = evaluated(cache, "here"), evaluated(cache, "another")
    assert model_origin.origin(before, "finetune/instruct").scored_earlier == []
    other = AgainstChampion(champion="greenhouse-instruct-2 version 1", is_this=True, compared="2026-01-31")
    model_origin.record_comparison(before, {"finetune/instruct": other})
    answers = model_origin.collect(before, "finetune@instruct")
    assert isinstance(answers.quality, QualityAnswer)
    assert [score.title for score in answers.quality.scores if score.task == "answers"] == ["bits of answers"]
    assert answers.quality.champion == other

    model_origin.record_comparison(now, {"finetune/instruct": other})
    retuned = {"outs": [{"path": "models/finetune/instruct", "md5": now.outputs()["models/pretrain/causal"]}]}
    tuned = Snapshot("workspace", "workspace", now.lock | {"finetune@instruct": retuned}, "abc")
    monkeypatch.setattr(model_origin, "find", lambda name, whole=True: tuned)
    said = " ".join(greenhouse("card", "instruct").split())
    assert "bits of answers" not in said
    assert "greenhouse-instruct-2" not in said
    assert "Evaluate has not scored finetune/instruct as it is now" in said
    assert "`greenhouse run` to its end scores it" in said
    assert "choice accuracy 0.500" in said  # its own stage measured that of these very weights


def test_unknown_models_and_states_are_one_sentence(workspace: Path) -> None:
    refuses(lambda: model_origin.choose("nope", "workspace"), "model_origin.target", "nope", "finetune@instruct")
    with refused("gathered.1", "v1", "pretrain@masked"):
        model_origin.collect(Snapshot("v1", "revision", LOCK), "pretrain@masked")


def test_a_missing_object_and_a_remote_that_is_gone_are_one_sentence(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    root = tmp_path / "repository"
    root.mkdir()
    repo = Repo.init(str(root), no_scm=True)
    monkeypatch.setattr(snapshots, "ObjectCache", lambda: ObjectCache(root))
    one = Snapshot("v1", "revision", LOCK)
    gone = ("files_of.file", "models/finetune/instruct/greenhouse.json of v1", f"{MD5}.dir")
    refuses(lambda: model_origin.collect(one, "finetune@instruct"), *gone, "nor in a remote")
    with repo.config.edit() as config:
        config["remote"]["team"] = {"url": str(tmp_path / "unplugged")}
        config["core"]["remote"] = "team"
    refuses(lambda: model_origin.collect(one, "finetune@instruct"), *gone, "DVC remote team", tmp_path / "unplugged")
    (tmp_path / "unplugged" / "files" / "md5").mkdir(parents=True)
    refuses(lambda: model_origin.collect(one, "finetune@instruct"), *gone, "nor in a remote")


def test_in_the_worktree_of_an_experiment_the_rebuild_is_of_the_experiment(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own account stage, which runs before the experiment is saved, named the workspace's model."""
    one = Snapshot("workspace", "workspace", LOCK)
    assert model_origin.origin(one, "finetune/instruct").rebuild.command == "greenhouse verify finetune@instruct"
    monkeypatch.setattr(paths, "WORKTREES", workspace.parent)
    rebuild = model_origin.origin(one, "finetune/instruct").rebuild
    assert rebuild.experiment == "greenhouse"
    assert rebuild.command == "greenhouse verify finetune@instruct --at greenhouse"


def test_a_withdrawn_model_says_so_on_its_page(workspace: Path, greenhouse: Callable[..., str]) -> None:
    withdraw(workspace, [f"{MD5}.dir"], "it saw a forgotten document", date(2026, 12, 1))
    said = " ".join(greenhouse("card", "instruct").split())
    assert said.startswith("Do not use it: withdrawn on 2026-12-01: it saw a forgotten document (withdrawn.json).")
    with refused("raise_if_withdrawn", "finetune/instruct of", "2026-12-01: it saw a forgotten document"):
        export.export("instruct", to="hub")
    assert not (workspace / "exports").exists()
