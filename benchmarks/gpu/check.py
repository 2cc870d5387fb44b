"""What only a GPU can show: `make bench NAME=gpu-check`, or `python -m benchmarks.gpu.check`. Not run on a GPU yet.

On its own text (PyTorch's docstrings), with components alone, no server and no DVC: a resumed run's bytes with
torch.compile, a return after a bad loss, speed and share of the datasheet's peak at 124M parameters, the price of
strict determinism, NVML's counter of energy beside the integral of its power, kills at random moments (of a smaller
model, four at a time), and the speed of LitGPT and nanochat (as `benchmarks.train` finds them). After `LIMIT_S` seconds
it ends, and names what was not tried. It prints a table for README. `--device cpu --size 2 --kills 2` tries the program
itself, and writes nothing.
"""

import argparse
import os
import random
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from benchmarks.kill_and_resume import Due, Job, Kill, after, below
from benchmarks.processes import of_module, result_of
from benchmarks.results import goal, write, write_rows
from benchmarks.stamp import commit
from benchmarks.train_runs import BENCH, NANOCHAT, environment
from components.core.files import sha256_bytes
from components.core.progress import Progress
from components.model.shape import derive_shape
from components.model.transformer import Transformer
from components.params import ModelShape, Numerics, Optimizer
from components.tokens.shards import TokenWriter
from components.training import checkpoint, loop, objectives
from components.training import numerics as floats
from components.training.objectives import Batch, language_model_loss
from components.training.train_config import TrainConfig
from greenhouse_record.metering import nvml

CONTEXT, BATCH, VOCABULARY = {"cuda": 1024, "cpu": 128}, 16, {"cuda": 50304, "cpu": 256}
STEPS, SPEED_STEPS = 24, 30
LIMIT_S = 440
"""Seconds after which no part goes on; what is under way then ends well before eight minutes."""
KILLED_SIZE, AT_ONCE, OFTEN = {"cuda": 4, "cpu": 2}, 4, 2
"""Size of the trainings that are killed, how many of them run side by side, and the steps between their checkpoints."""
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
    work: Path,
    numerics: Numerics,
    size: int,
    steps: int = STEPS,
    until: int | None = None,
    bad: bool = False,
    every: int = 8,
) -> tuple[str, Lines]:
    """sha256 of the weights after training in `work`, and what was said."""
    corpus, said, passes = text(), Lines(), iter(range(10**9))
    floats.configure_torch(numerics)  # the first weights depend on the threads
    context = CONTEXT[numerics.device]
    shape = derive_shape(ModelShape(size=size), VOCABULARY[numerics.device], context, causal=True)
    model = Transformer(shape).initialise(1)

    def batches(number: int) -> Batch:
        starts = np.random.default_rng(number).integers(0, len(corpus) - context - 1, BATCH)
        return objectives.causal(np.stack([corpus[start : start + context + 1] for start in starts]))

    def loss(model: Any, batch: Batch) -> torch.Tensor:
        total = language_model_loss(model, batch)
        return total * float("nan") if next(passes) == 2 * BAD and bad else total

    settings = TrainConfig(steps=steps, optimizer=Optimizer(), micro_batch=BATCH // 2, checkpoint_every=every,
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


class OutOfTimeError(Exception):
    """The time of the check is over."""


class Parts:
    """The parts of the check, which end with its time, and the raw rows."""

    def __init__(self) -> None:
        self.end = time.monotonic() + LIMIT_S
        self.rows: list[dict[str, Any]] = []
        signal.signal(signal.SIGALRM, self._over)

    def tried(self, name: str, work: Callable[[], Any]) -> Any:
        """What a part returns; None, with a line, where the time ended before it did."""
        left = self.end - time.monotonic()
        try:
            if left > 0:
                signal.setitimer(signal.ITIMER_REAL, left)
                return work()
        except OutOfTimeError:
            pass
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        print(f"not tried: {name}: {LIMIT_S} seconds were over")
        return None

    @staticmethod
    def _over(*_: Any) -> None:
        raise OutOfTimeError

    def right(self, check: str, right: bool, **more: Any) -> None:
        """Keep and print the row of a check."""
        self.rows.append({"check": check, "right": right} | more)
        print(self.rows[-1], flush=True)


def peers(parts: Parts, folder: Path, device: str, size: int) -> dict[str, float]:
    """Tokens a second of the peers at the same shape, on the same text, each in a process of its own."""
    ids, found = text(), dict[str, float]()
    with TokenWriter(folder / "train", VOCABULARY[device], "", ["torch"]) as writer:
        writer.add_shard(ids, np.array([len(ids)]), np.zeros(1, int), np.array([len(ids)]))
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
            "context": CONTEXT[device],
        }
        result = parts.tried(name, partial(result_of, "benchmarks.train_contestants", job, environment(name)))
        if result:
            found[name] = result["tokens_per_s"]
    return found


def whole_and_resumed(parts: Parts, folder: Path, numerics: Numerics, size: int) -> None:
    """Bytes of a run that was ended and resumed beside those of a whole one."""
    whole, _ = trained(folder / "whole", numerics, size)
    trained(folder / "resumed", numerics, size, until=10)
    parts.right("resumed", trained(folder / "resumed", numerics, size)[0] == whole)


def rollback(parts: Parts, folder: Path, numerics: Numerics, size: int) -> None:
    """Whether a bad loss is passed over."""
    said = trained(folder / "bad", numerics, size, bad=True)[1].lines
    parts.right("rollback", any("is passed over" in line for line in said))


def kills(parts: Parts, folder: Path, numerics: Numerics, count: int) -> None:
    """Kill a training `count` times at random moments of its steps, and resume each to its end."""
    size, draw = KILLED_SIZE[numerics.device], random.Random(1)
    whole, _ = trained(folder / "whole small", numerics, size)
    began = time.monotonic()
    trained(folder / "timed", numerics, size, every=OFTEN)
    seconds = 0.9 * (time.monotonic() - began)  # no less than another process takes

    def killed(number: int) -> Kill:
        work = folder / f"killed-{number}"
        words = of_module("benchmarks.gpu.check", "--work", work, "--device", numerics.device, "--size", size)
        return Job(words, work).kill(after_first_checkpoint(work, moments[number]))

    moments = [draw.uniform(0, seconds) for _ in range(count)]
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        for number, kill in enumerate(pool.map(killed, range(count))):
            work = folder / f"killed-{number}"
            step = checkpoint.steps(work)[0]
            same = kill.in_time and not kill.left and trained(work, numerics, size, every=OFTEN)[0] == whole
            parts.right("killed", same, in_time=kill.in_time, left=len(kill.left), newest_checkpoint=step)
            shutil.rmtree(work)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in below(os.getpid()):  # of kills that the end of the time came before
            with suppress(psutil.Error):
                process.kill()


def after_first_checkpoint(work: Path, seconds: float) -> Due:
    """The moment so many seconds after a training has saved its first checkpoint."""
    begun = list[Due]()

    def due() -> bool:
        if not begun and checkpoint.steps(work):
            begun.append(after(seconds))
        return bool(begun) and begun[0]()

    return due


def determinism(folder: Path, numerics: Numerics, size: int) -> tuple[float, float, float]:
    """Tokens a second and share of the peak as shipped, and tokens a second without strict determinism."""
    strict, insist = speed(folder / "strict", numerics, size), torch.use_deterministic_algorithms
    insist(False)
    torch.use_deterministic_algorithms = lambda *_, **__: None
    try:
        return (*strict, speed(folder / "loose", numerics, size)[0])
    finally:
        torch.use_deterministic_algorithms = insist


def main() -> None:
    """All checks; a table of their figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
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
        trained(arguments.work, numerics, size, every=OFTEN)
        return
    parts = Parts()
    with tempfile.TemporaryDirectory(prefix="greenhouse-gpu-check-", ignore_cleanup_errors=True) as temporary:
        folder, given = Path(temporary), (numerics, size)
        parts.tried("resume", lambda: whole_and_resumed(parts, folder, *given))
        parts.tried("rollback", lambda: rollback(parts, folder, *given))
        speeds = parts.tried("speed, price of determinism", lambda: determinism(folder, *given))
        ratio = parts.tried("energy", lambda: power_beside_counter(folder / "power", *given))
        parts.tried("kills", lambda: kills(parts, folder, numerics, arguments.kills))
        others = peers(parts, folder / "corpus", numerics.device, size)
    if len(said := [row for row in parts.rows if row["check"] == "killed"]) < arguments.kills:
        print(f"not tried: {arguments.kills - len(said)} of {arguments.kills} kills")
    print(table(parts.rows, speeds, ratio, others, arguments))
    if arguments.device == "cuda":
        keep(parts.rows, speeds, ratio, others, arguments.kills)


def counted(rows: list[dict[str, Any]], check: str) -> int:
    """How many rows of a check are right."""
    return sum(row["right"] for row in rows if row["check"] == check)


def table(rows: list[dict], speeds: Any, ratio: float | None, others: dict[str, float], given: Any) -> str:
    """The figures in Markdown, for README."""
    name = torch.cuda.get_device_name() if given.device == "cuda" else given.device
    lines = [("same bytes after a resume, compiled", f"{counted(rows, 'resumed')} of 1"),
             ("a bad loss passed over", f"{counted(rows, 'rollback')} of 1"),
             ("same bytes after a kill at a random moment", f"{counted(rows, 'killed')} of {given.kills}")]  # fmt: skip
    if speeds:
        strict, share, loose = speeds
        lines += [(f"tokens/s, size {given.size}", f"{strict:,.0f} ({share:.1%} of the peak)"),
                  ("price of strict determinism", f"{loose / strict - 1:.1%}")]  # fmt: skip
        lines += [(f"tokens/s of {peer}, same shape", f"{other:,.0f}") for peer, other in others.items()]
    lines.append(
        (
            "NVML's energy over the integral of its power",
            "not tried: no NVML, or no time" if ratio is None else f"{ratio:.3f}",
        )
    )
    return "\n".join([f"| on {name}, commit {commit()[:9]} | |", "|---|--:|", *(f"| {a} | {b} |" for a, b in lines)])


def keep(rows: list[dict], speeds: Any, ratio: float | None, others: dict[str, float], count: int) -> None:
    """Write the results; what was not tried has no goal, but kills that were not tried are not right."""
    goals = [
        goal("gpu_check_resumed", counted(rows, "resumed"), 1, "higher"),
        goal("gpu_check_rollback", counted(rows, "rollback"), 1, "higher"),
        goal("gpu_check_kills_right", counted(rows, "killed") / count, 1, "higher", f"of {count}"),
    ]
    results: dict[str, Any] = {"nvml_over_power": ratio} | others
    if speeds:
        strict, share, loose = speeds
        goals += [goal("gpu_check_mfu", share, 0.40, "higher"),
                  goal("gpu_check_determinism_price", loose / strict - 1, 0.15, "lower")]  # fmt: skip
        results["gpu_check_tokens_per_s"] = {"n": SPEED_STEPS, "median": strict}
    write_rows("gpu-check", rows)
    write("gpu-check", results, goals)


if __name__ == "__main__":
    main()
