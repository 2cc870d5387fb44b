"""What only a GPU can show: `make bench NAME=gpu-check`, or `python -m benchmarks.gpu.check`. Not run on a GPU yet.

On its own text (PyTorch's docstrings), with components alone, no server and no DVC: a resumed run's bytes with
torch.compile, kills at random moments, a return after a bad loss, speed and share of the datasheet's peak at 124M
parameters beside LitGPT and nanochat (as `benchmarks.train` finds them), the price of strict determinism, NVML's
counter of energy beside the integral of its power. `--device cpu --size 2 --kills 2` tries the program itself, and
writes nothing.
"""

import argparse
import random
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.kill_and_resume import Job, after
from benchmarks.processes import of_module, result_of
from benchmarks.results import goal, write, write_rows
from benchmarks.train_runs import BENCH, NANOCHAT, environment
from components.core.files import sha256_bytes
from components.core.progress import Progress
from components.model.shape import derive_shape
from components.model.transformer import Transformer
from components.params import ModelShape, Numerics, Optimizer
from components.tokens.shards import TokenWriter
from components.training import loop, objectives
from components.training import numerics as floats
from components.training.objectives import Batch, language_model_loss
from components.training.train_config import TrainConfig
from greenhouse_record.metering import nvml

CONTEXT, BATCH, VOCABULARY = 1024, 16, {"cuda": 50304, "cpu": 256}
STEPS, SPEED_STEPS = 24, 30
BAD = 7
"""Number of the batch whose loss is made bad once."""


class Lines(Progress):
    """Keeps what the loop says."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.rows: list[dict[str, float]] = []

    def log(self, line: str) -> None:
        """Keep it."""
        self.lines.append(line)

    def log_metrics(self, step: int, metrics: dict[str, float]) -> None:
        """Keep them."""
        self.rows.append(metrics)


def text() -> np.ndarray:
    """Bytes of PyTorch's docstrings, in a fixed order: int64."""
    docs = [str(getattr(torch, name).__doc__) for name in sorted(dir(torch)) if callable(getattr(torch, name))]
    return np.frombuffer("\n".join(docs).encode(), np.uint8).astype(np.int64)


def trained(
    work: Path, numerics: Numerics, size: int, steps: int = STEPS, until: int | None = None, bad: bool = False
) -> tuple[str, Lines]:
    """sha256 of the weights after training in `work`, and what was said."""
    corpus, said, passes = text(), Lines(), iter(range(10**9))
    floats.configure_torch(numerics)  # the first weights depend on the threads
    shape = derive_shape(ModelShape(size=size), VOCABULARY[numerics.device], CONTEXT, causal=True)
    model = Transformer(shape).initialise(1)

    def batches(number: int) -> Batch:
        starts = np.random.default_rng(number).integers(0, len(corpus) - CONTEXT - 1, BATCH)
        return objectives.causal(np.stack([corpus[start : start + CONTEXT + 1] for start in starts]))

    def loss(model: Any, batch: Batch) -> torch.Tensor:
        total = language_model_loss(model, batch)
        return total * float("nan") if next(passes) == 2 * BAD and bad else total

    settings = TrainConfig(steps=steps, optimizer=Optimizer(), micro_batch=BATCH // 2, checkpoint_every=4,
                           flops_per_token=shape.flops_per_token)  # fmt: skip
    loop.train(model, batches, loss, settings, work, said, numerics=numerics, until=until)
    weights = b"".join(one.detach().cpu().numpy().tobytes() for one in model.parameters())
    return sha256_bytes(weights), said


def power_beside_counter(work: Path, numerics: Numerics, size: int) -> float | None:
    """Joules of the counter over the integral of the power that the driver shows; None without NVML."""
    library, _ = nvml.open_nvml()
    if library is None:
        return None
    device, readings, done = library.nvmlDeviceGetHandleByIndex(0), [], threading.Event()

    def read() -> None:
        while not done.wait(0.05):
            readings.append((time.monotonic(), library.nvmlDeviceGetPowerUsage(device) / 1000))

    thread = threading.Thread(target=read)
    before = library.nvmlDeviceGetTotalEnergyConsumption(device)
    thread.start()
    trained(work, numerics, size, SPEED_STEPS)
    done.set()
    thread.join()
    joules = (library.nvmlDeviceGetTotalEnergyConsumption(device) - before) / 1000
    times, watts = np.array(readings).T
    return float(joules / np.trapezoid(watts, times))


def speed(work: Path, numerics: Numerics, size: int) -> tuple[float, float]:
    """Tokens a second and share of the peak, median of the second half of the steps."""
    _, said = trained(work, numerics, size, SPEED_STEPS)
    late = said.rows[len(said.rows) // 2 :]
    return tuple(float(np.median([row.get(name, 0.0) for row in late])) for name in ("tokens_per_s", "mfu"))  # type: ignore[return-value]


def peers(folder: Path, device: str, size: int) -> dict[str, float]:
    """Tokens a second of the peers at the same shape, on the same text, each in a process of its own."""
    ids, found = text(), {}
    writer = TokenWriter(folder / "train", VOCABULARY[device], "", ["torch"])
    writer.add_shard(ids, np.array([len(ids)]), np.zeros(1, int), np.array([len(ids)]))
    writer.close()
    for name, place, rate in (("litgpt", BENCH / "litgpt-packages", 0.001), ("nanochat", NANOCHAT, 0.02)):
        if not place.exists():
            print(f"not tried: {name}, which `python -m benchmarks.train --trial --nanochat CHECKOUT` puts at {place}")
            continue
        job = {
            "contestant": name,
            "steps": SPEED_STEPS,
            "rate": rate,
            "seed": 1,
            "threads": 2,
            "tuning": False,
            "corpus": str(folder),
            "device": device,
            "size": size,
            "vocabulary": VOCABULARY[device],
            "context": CONTEXT,
        }
        found[name] = result_of("benchmarks.train_contestants", job, environment(name))["tokens_per_s"]  # fmt: skip
    return found


def main() -> None:
    """All checks; a table of their figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", type=int, default=12)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("not tried: PyTorch sees no CUDA device here")
        return
    numerics, size = Numerics(device=arguments.device, compile=arguments.device == "cuda", threads=1), arguments.size
    if arguments.work:
        trained(arguments.work, numerics, size)
        return
    with tempfile.TemporaryDirectory(prefix="greenhouse-gpu-check-") as temporary:
        folder, started = Path(temporary), time.monotonic()
        whole, _ = trained(folder / "whole", numerics, size)
        seconds = time.monotonic() - started
        trained(folder / "resumed", numerics, size, until=10)
        rows: list[dict[str, Any]] = [
            {"check": "resumed", "right": trained(folder / "resumed", numerics, size)[0] == whole}
        ]
        said = trained(folder / "bad", numerics, size, bad=True)[1].lines
        rows += [{"check": "rollback", "right": any("is passed over" in line for line in said)}]
        options = ("--work", folder / "killed", "--device", arguments.device, "--size", size)
        job, draw = Job(of_module("benchmarks.gpu.check", *options), folder / "killed"), random.Random(1)
        for number in range(arguments.kills):
            job.kill(after(draw.uniform(0.3, 1.0) * seconds))
            if number % 4 == 3 or number == arguments.kills - 1:  # each folder is killed up to four times
                rows.append({"check": "killed", "right": trained(folder / "killed", numerics, size)[0] == whole})
                shutil.rmtree(folder / "killed")
        strict = speed(folder / "strict", numerics, size)
        torch.use_deterministic_algorithms(False)
        floats.torch.use_deterministic_algorithms = lambda *_: None
        loose = speed(folder / "loose", numerics, size)
        ratio = power_beside_counter(folder / "power", numerics, size)
        others = peers(folder / "corpus", numerics.device, size)
    killed_right = [row["right"] for row in rows if row["check"] == "killed"]
    print(*rows, f"tokens/s {strict[0]:.0f}, {strict[1]:.1%} of peak; not deterministic {loose[0]:.0f}", sep="\n")
    for name, tokens_per_s in others.items():
        print(f"{name}: {tokens_per_s:.0f} tokens/s, {strict[1] * tokens_per_s / strict[0]:.1%} of peak")
    print("not tried: energy (no NVML)" if ratio is None else f"NVML's energy over its power's integral: {ratio:.3f}")
    if arguments.device != "cuda":
        return
    goals = [
        goal("gpu_check_resumed", float(rows[0]["right"]), 1, "higher"),
        goal("gpu_check_rollback", float(rows[1]["right"]), 1, "higher"),
        goal("gpu_check_kills_right", sum(killed_right) / len(killed_right), 1, "higher"),
        goal("gpu_check_mfu", strict[1], 0.40, "higher"),
        goal("gpu_check_determinism_price", loose[0] / strict[0] - 1, 0.15, "lower"),
    ]
    write_rows("gpu-check", rows)
    results = {"gpu_check_tokens_per_s": {"n": SPEED_STEPS, "median": strict[0]}, "nvml_over_power": ratio} | others
    write("gpu-check", results, goals)


if __name__ == "__main__":
    main()
