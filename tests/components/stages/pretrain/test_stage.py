"""The pretrain stage on real text: the same bytes every time, killed or not, and bad input named before it starts."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock, call

import pytest
import torch

from components.core.errors import Stopped
from components.core.files import read_json, sha256_file, write_json
from components.core.progress import Progress
from components.core.report import Report
from components.model import export
from components.params import Numerics, Pretrain
from components.stages.pretrain import stage
from components.stages.pretrain.stage import pretrain
from components.tokens import shards
from components.tokens.shards import TokenShards
from components.training import likelihood
from tests.components.killed import killed_when
from tests.components.real_text import tree
from tests.components.small_corpus import NUMERICS, small, write_tokens
from tests.errors import refuses
from tests.progress_recorder import Recorder


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tokens(tmp_path_factory.mktemp("corpus") / "tokenize")


def run(tokens: Path, place: Path, objective: str = "causal", params: Pretrain | None = None) -> Report:
    folders = {name: place / name for name in ("out", "reports", "work")}
    return pretrain(objective=objective, tokens=tokens, params=params or small(), numerics=NUMERICS, **folders)  # type: ignore[arg-type]


@pytest.mark.parametrize("objective", ["causal", "masked"])
def test_a_run_learns_and_repeats_to_the_byte(objective: str, tokens: Path, tmp_path: Path) -> None:
    report = run(tokens, tmp_path / "a", objective)
    run(tokens, tmp_path / "b", objective)
    for part in ("out", "reports"):
        assert tree(tmp_path / "a" / part) == tree(tmp_path / "b" / part)
    assert report.metrics["heldout/loss"] < 5.9  # guessing: ln 400 = 5.99
    assert ("heldout/bits_per_byte" in report.metrics) is (objective == "causal")
    model, _, facts = export.load(tmp_path / "a" / "out")
    assert model.shape.causal is (objective == "causal")
    assert facts["training"]["tokens"] == report.metrics["tokens"] == 20 * 4 * 64
    plots = {path.name for path in (tmp_path / "a" / "reports" / "plots").iterdir()}
    assert plots == {"learning_curve.png", "attention.png"}
    text = "".join(path.read_text() for path in (tmp_path / "a" / "reports").rglob("*.json"))
    assert str(tmp_path) not in text + json.dumps(facts)


@pytest.mark.parametrize("rank", ["0", "1"])
def test_the_first_process_alone_reads_the_shards_through(
    tokens: Path, rank: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever started it: torchrun, or the first process."""
    hashed, looked = Mock(), Mock(return_value=0)
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setattr(shards, "raise_if_changed", hashed)
    monkeypatch.setattr(TokenShards, "largest_id", looked)
    stage.prepare("causal", tokens, small(), NUMERICS)
    assert hashed.called == looked.called == (rank == "0")


def test_a_process_takes_its_gpu_before_it_asks_about_memory(tokens: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = Mock()
    device.mem_get_info.return_value = 10**11, 10**11
    monkeypatch.setenv("LOCAL_RANK", "3")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for name in ("set_device", "mem_get_info"):
        monkeypatch.setattr(torch.cuda, name, getattr(device, name))
    try:
        stage.prepare("causal", tokens, small(), Numerics(device="cuda"))
    finally:
        torch.use_deterministic_algorithms(False)
    assert device.mock_calls[:2] == [call.set_device(3), call.mem_get_info()]


def test_it_can_be_stopped_between_batches_of_the_final_exam(
    tokens: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(likelihood, "BATCH_TOKENS", 64)

    def second_look(seen: Recorder) -> bool:
        return seen.current == "examine" and seen.checks["examine"] == 2

    def train(place: Path, progress: Progress) -> None:
        folders = {name: place / name for name in ("out", "reports", "work")}
        pretrain(
            objective="causal", tokens=tokens, params=small(context=16), numerics=NUMERICS, progress=progress, **folders
        )

    train(tmp_path / "whole", whole := Recorder())
    assert whole.checks["examine"] > 1
    with pytest.raises(Stopped):
        train(tmp_path / "stopped", Recorder(second_look))
    train(tmp_path / "stopped", told := Recorder())
    assert any("going on from step" in line for line in told.lines)
    assert tree(tmp_path / "stopped/out") == tree(tmp_path / "whole/out")


STEPS = 80
PROGRAM = """
import json, sys
from pathlib import Path
from tests.components.small_corpus import small
from components.params import Numerics
from components.stages.pretrain.stage import pretrain
place = Path(sys.argv[2])
numerics = Numerics(**json.loads(sys.argv[3]))
folders = {name: place / name for name in ("out", "reports", "work")}
pretrain(objective="causal", tokens=Path(sys.argv[1]), params=small(steps=80), numerics=numerics, **folders)
"""


def start(tokens: Path, place: Path, **numerics: object) -> int:
    """Run it in a process of its own; its exit status."""
    command = [sys.executable, "-c", PROGRAM, tokens, place, json.dumps(numerics)]
    return subprocess.run(command, env=os.environ | {"PYTHONPATH": "."}, check=False).returncode


def killed_and_resumed(tokens: Path, place: Path, kills: int, seed: int, **numerics: object) -> list[int]:
    """Kill the run -9 at random moments after its first checkpoint; returns the steps reached by each life."""
    moments, reached, work = random.Random(seed), [], place / "work"
    for _ in range(kills):
        known = {work / "step-000000", *work.glob("step-*")}
        killed_when(
            lambda known=known: set(work.glob("step-*")) - known, PROGRAM, tokens, place, json.dumps(numerics),
            wait_s=moments.uniform(0, 0.4), PYTHONPATH=".",
        )  # fmt: skip
        reached.append(max(int(path.name[5:]) for path in work.glob("step-*")))
    assert start(tokens, place, **numerics) == 0
    return reached


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_with_the_same_bytes(tokens: Path, tmp_path: Path) -> None:
    run(tokens, tmp_path / "straight", params=small(steps=STEPS))
    reached = killed_and_resumed(tokens, tmp_path / "killed", kills=1, seed=1)
    assert 0 < reached[0] < STEPS
    assert tree(tmp_path / "straight" / "out") == tree(tmp_path / "killed" / "out")
    assert tree(tmp_path / "straight" / "reports") == tree(tmp_path / "killed" / "reports")


@pytest.mark.long
def test_compiled_it_repeats_and_resumes_to_the_byte(tokens: Path, tmp_path: Path) -> None:
    assert start(tokens, tmp_path / "straight", compile=True, threads=2) == 0
    killed_and_resumed(tokens, tmp_path / "killed", kills=1, seed=1, compile=True, threads=2)
    assert tree(tmp_path / "straight" / "out") == tree(tmp_path / "killed" / "out")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"context": 4000}, ["pretrain.stage.prepare", "context 4000"]),
        ({"model": {"size": 2, "width": 100, "heads": 3}}, ["derive_shape.1", "width 100", "3 heads"]),
        ({"batch": 10_000_000}, ["refuse_what_cannot_fit.2", 10000000, 64, "pretrain.causal.micro_batch"]),
    ],
)
def test_settings_that_do_not_fit_are_named_before_the_first_step(
    changes: dict, says: list, tokens: Path, tmp_path: Path
) -> None:
    refuses(lambda: run(tokens, tmp_path, params=small(**changes)), *says)
    assert not (tmp_path / "work").exists()


def test_shards_of_another_tokenizer_are_refused(tokens: Path, tmp_path: Path) -> None:
    other = write_tokens(tmp_path / "tokenize")
    manifest = read_json(other / "train" / "manifest.json")
    write_json(other / "train" / "manifest.json", manifest | {"tokenizer_sha256": "0" * 64})
    refuses(lambda: run(other, tmp_path), "_check_tokenizer.1", other / "tokenizer.json")
    write_json(other / "train" / "manifest.json", manifest | {"vocab_size": 5000})
    refuses(lambda: run(other, tmp_path), "_check_tokenizer.2", 5000, 400)
    path = other / "train" / manifest["shards"][-1]["tokens"]
    path.write_bytes(path.read_bytes()[:-2] + (400).to_bytes(2, "little"))
    manifest["shards"][-1]["sha256"]["tokens"] = sha256_file(path)
    write_json(other / "train" / "manifest.json", manifest)
    refuses(lambda: run(other, tmp_path), "_check_tokenizer.3", other / "train", "holds token 400", "the 400")
    assert not (tmp_path / "work").exists()
    (other / "tokenizer.json").unlink()
    refuses(lambda: run(other, tmp_path), "tokenizer_text", other / "tokenizer.json")
