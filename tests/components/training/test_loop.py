"""The loop: it resumes to the bit, adds up micro-batches, goes around bad batches, and saves before it stops."""

import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from components.core.errors import Stopped
from components.core.progress import Progress
from components.model.shape import derive_shape
from components.model.transformer import Transformer
from components.params import Finetune, ModelShape, Numerics, Optimizer, Prefer
from components.params.finetune import Classify, Instruct
from components.stages.finetune.training import settings_of
from components.training import checkpoint, device_memory, forecast, loop, objectives
from components.training.objectives import Batch, language_model_loss
from components.training.train_config import TrainConfig
from tests.errors import refused
from tests.progress_recorder import Recorder, stops_at

NUMERICS = Numerics()
OPTIMIZER = Optimizer(schedule="linear")
SETTINGS = TrainConfig(steps=12, optimizer=OPTIMIZER, checkpoint_every=5, eval_every=4)


def network(causal: bool = True) -> Transformer:
    return Transformer(derive_shape(ModelShape(size=2, width=64, heads=2), 100, 32, causal)).initialise(1)


def batches(number: int) -> Batch:
    """Counting with a stride that the network has to find out."""
    random = np.random.default_rng(number)
    start, stride = random.integers(6, 100, (4, 1)), random.integers(1, 4, (4, 1))
    return objectives.causal((start + stride * np.arange(33)) % 94 + 6)


def weights(model: torch.nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def run(
    work: Path, model: Any = None, progress: Progress | None = None, settings: TrainConfig = SETTINGS, **more: Any
) -> Any:
    model = model or network()
    result = loop.train(
        model, more.pop("batches", batches), language_model_loss, settings, work, progress, numerics=NUMERICS, **more
    )
    return model, result


@pytest.mark.parametrize("stops", [[1], [5], [7], [3, 2, 4]])
def test_stopped_and_resumed_ends_with_the_same_bits(stops: list[int], tmp_path: Path) -> None:
    evaluate: Callable[[int], dict[str, float]] = lambda step: {"twice": 2.0 * step}  # noqa: E731
    straight, expected = run(tmp_path / "a", evaluate=evaluate)
    for after in stops:
        with pytest.raises(Stopped):
            run(tmp_path / "b", progress=stops_at(after), evaluate=evaluate)
    assert checkpoint.steps(tmp_path / "b")[0] == sum(stops)
    resumed, result = run(tmp_path / "b", evaluate=evaluate)
    assert same(weights(straight), weights(resumed))
    assert result == expected
    assert [e["step"] for e in result.evals] == [4, 8, 12]


def test_checkpoints_are_kept_by_the_policy(tmp_path: Path) -> None:
    losses = {4: 3.0, 8: 1.0, 12: 2.0, 16: 2.5, 20: 2.2}
    settings = replace(SETTINGS, steps=20, checkpoint_every=2, keep=2)
    evaluate: Callable[[int], dict[str, float]] = lambda step: {"loss": losses[step]}  # noqa: E731
    run(tmp_path / "last", settings=settings, evaluate=evaluate)
    assert checkpoint.steps(tmp_path / "last") == [20, 18]
    run(tmp_path / "best", settings=replace(settings, keep_best=True), evaluate=evaluate)
    assert checkpoint.steps(tmp_path / "best") == [20, 18, 8]
    run(tmp_path / "between", settings=replace(settings, keep_best=True, checkpoint_every=6), evaluate=evaluate)
    assert checkpoint.steps(tmp_path / "between") == [20, 18, 8]  # the best is saved though its time had not come
    run(tmp_path / "every", settings=replace(settings, keep_every=10), evaluate=evaluate)
    assert checkpoint.steps(tmp_path / "every") == [20, 18, 10, 0]


def test_micro_batches_add_up_to_the_batch(tmp_path: Path) -> None:
    exact = Numerics(dtype="float32")
    whole, parts = network(), network()
    ids_BT, targets = batches(0).ids_BT, batches(0).targets
    by_torch = torch.nn.functional.cross_entropy(network().eval()(ids_BT).flatten(0, 1), targets.flatten()).item()
    for model, size in ((whole, None), (parts, 3)):
        settings = replace(SETTINGS, micro_batch=size, steps=3, optimizer=Optimizer(name="adamw", matrix_lr=1e-3))
        result = loop.train(model, batches, language_model_loss, settings, tmp_path / str(size), numerics=exact)
        assert result.losses[0] == pytest.approx(by_torch, rel=1e-4)
    for ours, theirs in zip(weights(whole), weights(parts), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=2e-6)


def test_as_many_more_short_windows_share_a_forward_pass(tmp_path: Path) -> None:
    passes: list[tuple[int, ...]] = []

    def objective(model: Any, batch: Batch) -> Tensor:
        passes.append(tuple(batch.ids_BT.shape))
        return language_model_loss(model, batch)

    def growing(number: int) -> Batch:
        whole = batches(number)
        rows, length = whole.ids_BT.shape
        return whole if number else Batch(*(ids.view(4 * rows, length // 4) for ids in (whole.ids_BT, whole.targets)))

    settings = replace(SETTINGS, micro_batch=2, context=batches(0).ids_BT.shape[1], steps=2)
    loop.train(network(), growing, objective, settings, tmp_path, numerics=NUMERICS)
    rows, length = batches(0).ids_BT.shape
    assert passes == [(8, length // 4)] * (rows // 2) + [(2, length)] * (rows // 2)


def poisoned(*numbers: int) -> Callable[[Any, Batch], Tensor]:
    """The usual loss, but not a number on some batches."""
    bad = [batches(number).ids_BT for number in numbers]

    def objective(model: Any, batch: Batch) -> Tensor:
        loss = language_model_loss(model, batch)
        return loss * math.nan if any(torch.equal(batch.ids_BT, ids) for ids in bad) else loss

    return objective


def test_a_bad_batch_is_passed_over_and_the_run_is_as_if_it_was_not_there(tmp_path: Path) -> None:
    model, progress = network(), Recorder()
    result = loop.train(model, batches, poisoned(7), SETTINGS, tmp_path / "a", progress, numerics=NUMERICS)
    clean, _ = run(tmp_path / "b", batches=lambda number: batches(number + (number >= 7)))
    assert result.skipped == [7]
    assert any("back to step 5, batch 7 is passed over" in line for line in progress.lines)
    assert same(weights(model), weights(clean))
    assert len(result.losses) == SETTINGS.steps


def test_a_spike_is_a_bad_batch(tmp_path: Path) -> None:
    def objective(model: Any, batch: Batch) -> Tensor:
        loss = language_model_loss(model, batch)
        return loss * 20 if torch.equal(batch.ids_BT, batches(36).ids_BT) else loss

    settings = replace(SETTINGS, steps=40)
    result = loop.train(network(), batches, objective, settings, tmp_path, numerics=NUMERICS)
    assert result.skipped == [36]


@pytest.mark.parametrize(
    ("settings", "keys"),
    [
        (SETTINGS, ["pretrain.optimizer.matrix_lr"]),
        (settings_of(Finetune(), 12, "finetune.instruct", 6), ["finetune.instruct", "learning_rate"]),
    ],
)
def test_too_many_bad_batches_end_the_run_with_what_to_do(
    settings: TrainConfig, keys: list[str], tmp_path: Path
) -> None:
    with refused("Trainer.roll_back", "nan at step 6", "after 1", *keys):
        loop.train(network(), batches, poisoned(5, 7), replace(settings, max_rollbacks=1), tmp_path, numerics=NUMERICS)


def test_a_forecast_counts_weights_three_times_beside_what_the_backward_pass_of_a_batch_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forecast, "_held_bytes", lambda *_: (0, 0))
    model = network()
    needed = forecast._kept(model, batches(0), language_model_loss, NUMERICS)
    needed += 3 * sum(parameter.nbytes for parameter in model.parameters()) + forecast.REPORT
    found = forecast.forecast(model, batches, language_model_loss, SETTINGS, NUMERICS)
    assert needed <= found.memory < needed + 100_000

    def of_many_widths(number: int) -> Batch:
        return replace(batches(0), ids_BT=batches(0).ids_BT[:, : None if number == 0 else -number])

    wider = forecast.forecast(model, of_many_widths, language_model_loss, SETTINGS, NUMERICS)
    assert wider.memory - found.memory == (SETTINGS.steps - 1) * forecast.PER_SHAPE


def test_nothing_is_a_spike_in_fine_tuning() -> None:
    """Rows of a rare class have a high loss, and are what is to be learned."""
    spikes = {kind: settings_of(kind(), 12, "finetune").spike_nats for kind in (Classify, Instruct, Prefer)}
    assert spikes == {Classify: math.inf, Instruct: math.inf, Prefer: math.inf}


def slow_disk(monkeypatch: pytest.MonkeyPatch, slow: bool) -> list[str]:
    """Checkpoints take 1% of the time since the last one, and more if `slow`; who writes them is noted."""
    monkeypatch.setattr(checkpoint, "MAX_SHARE", 0.0 if slow else 1e9)
    by, save = [], checkpoint.save

    def noted(*arguments: Any) -> Path:
        time.sleep(0.05)
        by.append(threading.current_thread().name.partition("_")[0])
        return save(*arguments)

    monkeypatch.setattr(checkpoint, "save", noted)
    return by


def test_slow_checkpoints_are_written_during_training_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trained(work: Path, slow: bool, free: int = 10**9) -> tuple[list[str], Any]:
        with monkeypatch.context() as patch:
            patch.setattr(device_memory, "free", lambda: free)
            by = slow_disk(patch, slow)
            evaluate: Callable[[int], dict[str, float]] = lambda step: {"loss": 1.0 / step}  # noqa: E731
            settings = replace(SETTINGS, steps=30, keep=9)
            _, result = run(work, settings=settings, evaluate=evaluate)
        return by, result

    at_once, expected = trained(tmp_path / "a", slow=False)
    beside, result = trained(tmp_path / "b", slow=True)
    assert at_once == trained(tmp_path / "c", slow=True, free=1000)[0] == ["MainThread"] * 7
    assert beside == ["MainThread"] * 2 + ["checkpoint"] * 4 + ["MainThread"]  # not the first two, nor the last
    assert result == expected
    steps = checkpoint.steps(tmp_path / "a")
    assert steps == checkpoint.steps(tmp_path / "b") == [30, 25, 20, 15, 10, 5, 0]
    for folders in ((checkpoint.folder_of(tmp_path / name, step) for name in "ab") for step in steps):
        one, other = folders
        for name in {path.name for path in one.iterdir()} - {"trainer.safetensors", "files.json"}:
            assert (one / name).read_bytes() == (other / name).read_bytes()
        (_, tensors, state), (_, same_tensors, same_state) = checkpoint.read(one), checkpoint.read(other)
        assert state == same_state
        assert tensors.keys() == same_tensors.keys()
        assert all(torch.equal(tensors[name], same_tensors[name]) for name in tensors)


def test_a_step_back_and_a_stop_wait_for_the_checkpoint_on_its_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean, _ = run(tmp_path / "a", batches=lambda number: batches(number + (number >= 11)))
    by = slow_disk(monkeypatch, slow=True)
    model, settings = network(), replace(SETTINGS, checkpoint_every=2)
    with pytest.raises(Stopped):
        loop.train(model, batches, poisoned(11), settings, tmp_path / "b", stops_at(9), numerics=NUMERICS)
    assert checkpoint.steps(tmp_path / "b") == [9, 8]
    loop.train(model, batches, poisoned(11), settings, tmp_path / "b", numerics=NUMERICS)
    assert "checkpoint" in by
    assert same(weights(model), weights(clean))


def test_running_out_of_memory_says_what_to_lower(tmp_path: Path) -> None:
    def objective(model: Any, batch: Batch) -> Tensor:
        return language_model_loss(model, batch) + torch.empty(1 << 60).sum()

    with refused("loop.train", "cpu", "micro_batch"):
        loop.train(network(), batches, objective, SETTINGS, tmp_path, numerics=NUMERICS)


def test_an_error_that_only_mentions_memory_keeps_its_message(tmp_path: Path) -> None:
    def objective(model: Any, batch: Batch) -> Tensor:
        shared = torch.zeros(1).expand(4)
        return language_model_loss(model, batch) + shared.add_(1).sum()

    with pytest.raises(RuntimeError, match="refers to a single memory location"):
        loop.train(network(), batches, objective, SETTINGS, tmp_path, numerics=NUMERICS)


def test_a_device_or_compiler_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not torch.cuda.is_available():
        with refused("numerics.raise_if_missing.1", "numerics.device = 'cuda'"):
            loop.train(network(), batches, language_model_loss, SETTINGS, tmp_path, numerics=Numerics(device="cuda"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CXX", str(tmp_path / "no-compiler"))
    from torch._inductor import config

    missing = config.patch({"cpp.cxx": (None, str(tmp_path / "no-compiler"))})  # monkeypatch would take it out for good
    with missing, refused("numerics.raise_if_missing.2", "numerics.compile = true"):
        loop.train(network(), batches, language_model_loss, SETTINGS, tmp_path, numerics=Numerics(compile=True))


def test_the_peak_of_a_process_is_its_own() -> None:
    """What the kernel counts for a process that was started holds what its parent had before."""
    code = "from components.training.forecast import peak_bytes; print(peak_bytes())"
    held = b"x" * 800_000_000
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(said) < len(held) < forecast.peak_bytes()
