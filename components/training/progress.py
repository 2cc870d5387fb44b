"""Live metrics of a training run: loss, bits per byte, speed, share of the peak, energy. None gets into the result."""

import math
from time import perf_counter

from components.core.progress import Progress
from components.params import Numerics
from components.training import numerics as floats
from components.training.train_config import TrainConfig, TrainResult

EVERY_S = 0.25
"""Seconds between two reports at least."""


class TrainProgress:
    """Metrics of a training run, sent to a `Progress`."""

    def __init__(self, config: TrainConfig, progress: Progress, numerics: Numerics) -> None:
        self.config, self.progress = config, progress
        self.peak = floats.peak_flops(numerics) if config.flops_per_token else 0.0
        self.since, self.tokens, self.all_tokens = perf_counter(), 0, 0
        self.joules = progress.joules()

    def show(self, result: TrainResult, tokens: int, rate: float) -> None:
        """Report the step just done, with the tokens of all processes in it, if it is time to."""
        self.tokens += tokens
        self.all_tokens += tokens
        step, now = len(result.losses), perf_counter()
        elapsed_s = now - self.since
        if elapsed_s < EVERY_S and step < self.config.steps:
            return
        tokens_per_s = self.tokens / elapsed_s
        self.since, self.tokens = now, 0
        learning_rate = rate * self.config.optimizer.matrix_lr
        figures = {"loss": result.losses[-1], "grad_norm": result.grad_norms[-1], "learning_rate": learning_rate}
        figures |= self._figures(result.losses[-1], tokens_per_s)
        self.progress.log_metrics(step, figures)
        self.progress.update(step, self.config.steps, "step", _note(figures))

    def _figures(self, loss: float, tokens_per_s: float) -> dict[str, float]:
        figures = {"tokens_per_s": tokens_per_s}
        if self.config.bytes_per_token:
            figures["bits_per_byte"] = loss / math.log(2) / self.config.bytes_per_token
        if self.peak and (mfu := tokens_per_s * self.config.flops_per_token / self.peak) <= 1:
            figures["mfu"] = mfu  # above 1: the peak was measured beside other work, and says nothing
        used = self.progress.joules()
        if used is not None and self.joules is not None:  # since this process began to train: readings are seconds old
            figures["joules_per_token"] = (used - self.joules) / self.all_tokens
        return figures


def _note(figures: dict[str, float]) -> str:
    """A few words beside the bar."""
    note = f"loss {figures['loss']:.3f}"
    if "bits_per_byte" in figures:
        note += f", {figures['bits_per_byte']:.3f} bits per byte"
    note += f", {figures['tokens_per_s'] / 1000:.1f}k tokens/s"
    if "mfu" in figures:
        note += f", {figures['mfu']:.0%} of peak"
    if figures.get("joules_per_token"):  # before the meter's first reading there is nothing to tell
        note += f", {1000 * figures['joules_per_token']:.3g} mJ/token"
    return note
