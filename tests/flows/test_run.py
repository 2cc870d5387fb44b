"""`greenhouse run`: which words go together, and a preset as values of one run."""

import os
from pathlib import Path

import pytest

from components import params as schema
from components.core.errors import UserError
from flows import cli, run
from flows.planning import staleness
from flows.system import dvc


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--until mix --only dedup", "--until and --only name two ends"),
        ("--data x --dry-run", "--data is written into params.yaml"),
        ("--only mix mix.seed=2", "--only runs a stage of the workspace"),
        ("--dry-run mix.seed=2", "--dry-run with other values needs --only STAGE"),
        ("--only nope", "--only nope: no such stage; there are ingest, dedup"),
        ("--preset nope", "the presets are cpu-40min"),
    ],
)
def test_what_does_not_go_together_is_one_sentence(words: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "run_from_terminal", lambda *_: pytest.fail("it ran"))
    with pytest.raises(UserError, match=says):
        cli.answer(["run", *words.split()])


def test_words_that_are_no_setting_are_named() -> None:
    with pytest.raises(UserError, match=r"^x: write each as KEY=VALUE"):
        run.form_of(["x"])


def test_a_preset_is_values_of_one_run_and_values_win_over_it(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ["pretrain.common.model.size=3"]
    values = [*run.preset_settings("gpu-124m", settings), *settings]
    chosen = run.form_of(values).applied(schema.read())
    assert chosen.numerics.device == "cuda"
    assert chosen.pretrain.causal.model.size == 3


def test_a_dry_run_says_why_and_what_only_stages_with_inputs_would_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`filter` follows a stale stage, so what it would do with the old input says nothing."""
    monkeypatch.setattr(staleness, "explain", lambda: ["ingest:", "    never ran"])
    monkeypatch.setattr(dvc, "graph", lambda: {"ingest": [], "dedup": ["ingest"], "filter": ["dedup"]})
    monkeypatch.setattr(dvc, "stale", lambda: {"ingest": ["never ran"], "filter": ["key filter.rules"]})
    monkeypatch.setattr(run, "dry_run_of", lambda name, values: f"reads of {name}")
    assert cli.answer(["run", "--dry-run"]) == 0
    assert capsys.readouterr().out == "ingest:\n    never ran\n\ningest would do:\n\nreads of ingest\n"


def test_a_stage_alone_becomes_its_dvc_repro(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(dvc, "raise_if_not_ready", lambda stage: None)
    monkeypatch.setattr(os, "execvpe", lambda file, command, environment: asked.append(command))
    run.run_stage("pretrain@causal")
    assert asked[0][-4:] == ["--wait-for-lock", "repro", "--single-item", "pretrain@causal"]
