"""Step costs of pretraining on this machine, in seconds and joules, and the cost of a whole run from them.

The steps are run by components/studies/step_cost.py, in a process of its own that the ledger meters
like any other. The figures belong to a shape, a batch, numerics and a machine, and are kept under a
fingerprint of these.
"""

from bisect import bisect_right
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from components.core.files import fingerprint
from components.training.lr_schedule import FINAL_WINDOWS, LIVE_WINDOWS
from greenhouse_record.metering.counters import this_host

if TYPE_CHECKING:
    from components.params import Numerics, Pretrain

DISTURBED = 0.1
"""Share of waiting from which a calibration says more about the other work than about the machine: it is not kept."""


@dataclass(frozen=True)
class Rates:
    """Measured step costs. Seconds are those of a machine without other work.

    Attributes:
        steps: how many steps.
        startup_s: from the start of the process to the first step (imports, initialisation, first
            checkpoint).
        step_s: median seconds of a step.
        waited: share of the time in which other work had the processor.
        window_s: seconds to score a held-out window.
        checkpoint_s: seconds of a checkpoint.
        joules_per_step: low, mid, high, as the ledger attributes them.
        tokens_per_step, flops_per_token: of the shape and batch.
        took_s: seconds of the whole calibration.
    """

    steps: int
    startup_s: float
    step_s: float
    waited: float
    window_s: float
    checkpoint_s: float
    joules_per_step: tuple[float, float, float]
    tokens_per_step: int
    flops_per_token: int
    took_s: float

    @property
    def tokens_per_s(self) -> float:
        return self.tokens_per_step / self.step_s

    @property
    def joules_per_flop(self) -> tuple[float, float, float]:
        """Low, mid, high."""
        flops = self.tokens_per_step * self.flops_per_token
        low, mid, high = (joules / flops for joules in self.joules_per_step)
        return low, mid, high

    @property
    def watts(self) -> float:
        """While it trains, mid."""
        return self.joules_per_step[1] / self.step_s

    def seconds(self, params: "Pretrain", steps: int | None = None) -> float:
        """Seconds of a whole run: start, steps, evaluations, checkpoints, the final evaluation."""
        steps = params.steps if steps is None else steps
        evaluations = -(-steps // params.eval_every)
        windows = evaluations * LIVE_WINDOWS + FINAL_WINDOWS
        saves = -(-steps // params.checkpoint_every)
        return self.startup_s + steps * self.step_s + windows * self.window_s + saves * self.checkpoint_s

    def kwh(self, params: "Pretrain", steps: int | None = None) -> float:
        """kWh (mid) of a whole run, evaluation and start taken at the power of training."""
        return self.seconds(params, steps) * self.watts / 3.6e6

    def steps_in(self, params: "Pretrain", seconds: float) -> int:
        """The most steps of which a whole run fits in so many seconds; 0 if not one does."""
        counts = range(1, max(1, int(seconds / self.step_s)) + 1)
        return bisect_right(counts, seconds, key=partial(self.seconds, params))


def key(objective: str, params: "Pretrain", numerics: "Numerics", vocab_size: int, parallel: bool) -> str:
    """Names a calibration: what is trained, how, where, and whether beside another branch."""
    from importlib.metadata import version

    host = this_host()
    chosen = params.model_dump(
        mode="json", include={"model", "batch", "micro_batch", "context", "document_mask", "mask_rate"}
    )
    optimizer = params.optimizer.name
    machine = [host.name, host.cpu, host.usable_threads, host.memory_bytes, version("torch")]
    return fingerprint([objective, chosen, optimizer, numerics.model_dump(mode="json"), vocab_size, parallel, machine])
