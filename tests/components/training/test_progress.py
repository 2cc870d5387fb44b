"""What is shown while a model trains: every figure is there, and is what it says."""

import math
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch

from components.params import Numerics, Optimizer
from components.stages.pretrain.stage import pretrain
from components.training import numerics, progress
from components.training.train_config import TrainConfig, TrainResult
from tests.components.small_corpus import NUMERICS, small, write_tokens
from tests.progress_recorder import Recorder


def seen(place: Path, metered: bool = True, **settings: Any) -> Recorder:
    progress = Recorder(joules=count(0.0, 10.0) if metered else None)  # every look at the meter finds ten joules more
    folders = {name: place / name for name in ("out", "reports", "work")}
    tokens = write_tokens(place / "tokenize")
    pretrain(
        tokens=tokens, params=small(steps=10, eval_every=5), numerics=NUMERICS, progress=progress, **settings, **folders
    )
    return progress


def test_all_that_is_promised_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "EVERY_S", 0.0)
    recorder = seen(tmp_path, objective="causal")
    last = recorder.rows[10]
    assert set(recorder.rows) == set(range(1, 11))
    assert {"loss", "bits_per_byte", "tokens_per_s", "mfu", "joules_per_token", "learning_rate"} <= last.keys()
    losses = (tmp_path / "reports" / "details" / "loss.csv").read_text().split()
    assert last["loss"] == pytest.approx(float(losses[-1].split(",")[1]), rel=1e-5)
    tokens_per_step = 4 * 64
    assert [row["joules_per_token"] for row in recorder.rows.values()] == pytest.approx([10 / tokens_per_step] * 10)
    assert 0 < last["mfu"] < 1
    bytes_per_token = last["loss"] / math.log(2) / last["bits_per_byte"]
    assert 1 < bytes_per_token < 4  # of a vocabulary of 400
    for part in ("loss ", "bits per byte", "k tokens/s", "% of peak", "39.1 mJ/token"):
        assert part in recorder.notes[-1]
    samples = [line for line in recorder.lines if line.startswith("step ") and "[" in line]
    assert [line.split(":")[0] for line in samples] == ["step 5", "step 10"]
    assert {"heldout_loss", "heldout_bits_per_byte"} <= last.keys()


@pytest.mark.parametrize("processes", [1, 8])
def test_the_share_of_the_peak_is_the_same_for_all_numbers_of_processes(
    processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each does 10,000 tokens a second at 10 million operations a token: a tenth of its own peak."""
    monkeypatch.setattr(numerics, "measured_flops", lambda device, dtype: 1e12)
    recorder, settings = Recorder(), TrainConfig(1, Optimizer(), flops_per_token=10**7)
    shown = progress.TrainProgress(settings, recorder, Numerics(processes=processes))
    shown.since -= 10.0
    shown.show(TrainResult(losses=[1.0], grad_norms=[1.0]), processes * 100_000, 1.0)
    assert recorder.rows[1]["mfu"] == pytest.approx(0.1, rel=0.01)


def test_the_peak_is_that_of_all_processes_and_a_gpus_its_datasheets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numerics, "measured_flops", lambda device, dtype: 1e12)
    assert [numerics.peak_flops(Numerics(processes=count)) for count in (1, 8)] == [1e12, 8e12]
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H100 80GB HBM3")
    assert numerics.peak_flops(Numerics(device="cuda", processes=2)) == 2 * 989e12
