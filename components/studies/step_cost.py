"""Measurement of real training steps, to forecast a whole run: `python -m components.studies.step_cost '<json>'`.

The network, the batch, the optimizer and the loop are those of pretraining; the tokens are random, which costs the
same. The process is metered as stage `calibrate`, so its energy is in the ledger. Prints one line of JSON
(`components.carbon.planning.step_cost_table.Rates`).
"""

import json
import statistics
import sys
import tempfile
import time
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from components.carbon.planning.budget import metered
from components.carbon.planning.step_cost_table import Rates
from components.core.errors import Stopped
from components.core.progress import Progress
from components.params import Numerics, Pretrain, Runtime
from greenhouse_record.metering.meter import Meter, Totals

if TYPE_CHECKING:
    from torch import nn

    from components.model.transformer import Transformer
    from components.training.objectives import Batch

WARM_UP, STEPS, FEWEST = 3, 20, 5
"""Steps that do not count, steps that do, and how many of these suffice if they are slow."""
MOST_S = 20.0
"""Seconds after which the fewest steps suffice."""
CALIBRATED = "Calibrated"
WINDOWS = 16
"""Held-out windows scored at once, as pretraining does."""


class StepClock(Progress):
    """Notes when each step ended; takes a reading of the meter when the ones that count begin and end.

    `limit` is asked between steps as well: the project's budget.
    """

    def __init__(self, meter: Meter, limit: Progress) -> None:
        self.meter, self.limit = meter, limit
        self.ends_s: list[float] = []
        self.waited_s = 0.0
        self.before: Totals | None = None
        self.after: Totals | None = None

    def raise_if_stopped(self) -> None:
        self.ends_s.append(time.perf_counter())
        self.limit.raise_if_stopped()
        counted = len(self.ends_s) - WARM_UP
        slow = counted >= FEWEST and self.ends_s[-1] - self.ends_s[0] > MOST_S
        if counted == 0:
            self.before, self.waited_s = self.meter.totals_now(), waited_s()
        elif slow or counted == STEPS:
            self.after, self.waited_s = self.meter.totals_now(), waited_s() - self.waited_s
            raise Stopped(CALIBRATED, "enough steps")

    def joules_per_step(self) -> tuple[float, float, float]:
        """Per step that counts: low, mid, high."""
        assert self.before
        assert self.after
        steps, a, b = len(self.ends_s) - WARM_UP, self.before, self.after
        low, mid, high = ((b.joules - a.joules) * (1 / steps)).as_list()
        return low, mid, high


def calibrate(
    objective: str, params: Pretrain, numerics: Numerics, vocab_size: int, meter: Meter, limit: Progress | None = None
) -> Rates:
    """Train a few steps on random tokens.

    Args:
        objective: `causal` or `masked`.
        vocab_size: ids to draw from.
        meter: metering this process.
        limit: asked between steps whether to go on; None for no limit.

    Raises:
        UserError: device, compiler or memory are missing.
        Stopped: `limit` says so.
    """
    began_s = time.perf_counter()
    from components.model.shape import derive_shape
    from components.model.transformer import Transformer
    from components.training import loop
    from components.training import numerics as floats
    from components.training.objectives import language_model_loss
    from components.training.train_config import TrainConfig

    shape = derive_shape(params.model, vocab_size, params.context, objective == "causal")
    floats.configure_torch(numerics)
    model = Transformer(shape).initialise(params.seed, params.initial_scale)
    settings = TrainConfig(
        steps=params.steps + WARM_UP + STEPS + 1, optimizer=params.optimizer, micro_batch=params.micro_batch,
        checkpoint_every=1 << 30, name=f"pretrain.{objective}",
    )  # fmt: skip
    clock = StepClock(meter, limit or Progress())
    with tempfile.TemporaryDirectory(prefix="greenhouse-calibrate-") as work:
        started_s = time.perf_counter()
        try:
            loop.train(
                model, lambda number: batch_of(objective, params, vocab_size, number), language_model_loss, settings,
                Path(work), clock, numerics=numerics, write_model=write_bare,
            )  # fmt: skip
        except Stopped as stop:
            if stop.name != CALIBRATED:
                raise
        checkpoint_s = time.perf_counter() - clock.ends_s[-1]  # the loop saves before it stops
    model.eval()
    window_s = seconds_per_window(model, objective, params, numerics, vocab_size)
    steps = [end - start for start, end in pairwise(clock.ends_s[WARM_UP - 1 :])]
    first_step_s = max(0.0, clock.ends_s[0] - started_s - statistics.median(steps))
    waited = min(0.99, clock.waited_s / sum(steps))
    alone = 1 - waited  # seconds with the processor to itself: what else runs now may not run then
    return Rates(
        steps=len(steps),
        startup_s=(started_s - began_s + first_step_s) * alone,
        step_s=statistics.median(steps) * alone,
        waited=waited,
        window_s=window_s * alone,
        checkpoint_s=checkpoint_s * alone,
        joules_per_step=clock.joules_per_step(),
        tokens_per_step=params.batch * params.context,
        flops_per_token=shape.flops_per_token,
        took_s=time.perf_counter() - began_s,
    )


def waited_s() -> float:
    """Seconds that this thread was ready to run and another had the processor; 0 where the system does not say."""
    path = Path("/proc/thread-self/schedstat")
    return int(path.read_text().split()[1]) / 1e9 if path.exists() else 0.0


def batch_of(objective: str, params: Pretrain, vocab_size: int, number: int, count: int = 0) -> "Batch":
    """Random tokens as a training batch of `count` sequences; 0 for the batch of params."""
    import numpy as np

    from components.tokens.tokenizer import SPECIAL_TOKENS
    from components.training import objectives

    count = count or params.batch
    length = params.context + (objective == "causal")
    ids = np.random.default_rng(number).integers(len(SPECIAL_TOKENS), vocab_size, (count, length))
    if objective == "causal":
        return objectives.causal(ids, params.document_mask)
    return objectives.masked(ids, range(count), number, params.mask_rate, params.document_mask)


def write_bare(model: "nn.Module", _step: int, folder: Path) -> None:
    """The weights of a checkpoint, without the tokenizer that a calibration has none of."""
    from components.model import export

    export.save_tensors(dict(model.named_parameters()), folder / "model.safetensors")


def seconds_per_window(
    model: "Transformer", objective: str, params: Pretrain, numerics: Numerics, vocab_size: int
) -> float:
    """Seconds to score a held-out window."""
    from components.training.likelihood import TokenRow, score
    from components.training.objectives import IGNORE

    batch = batch_of(objective, params, vocab_size, 0, WINDOWS)
    windows = zip(batch.ids_BT.numpy(), batch.targets.numpy(), strict=True)
    rows = [TokenRow(ids, (asked := (targets != IGNORE).nonzero()[0]), targets[asked]) for ids, targets in windows]
    started_s = time.perf_counter()
    score(model, rows, numerics)
    return (time.perf_counter() - started_s) / WINDOWS


def main(arguments: dict) -> None:
    params, numerics = Pretrain(**arguments["params"]), Numerics(**arguments["numerics"])
    labels = {"stage": "calibrate", "run": arguments["run"]}
    with metered(Path(arguments["ledger"]), Runtime(**arguments["runtime"]), labels) as (meter, limit):
        assert meter
        rates = calibrate(arguments["objective"], params, numerics, arguments["vocab_size"], meter, limit)
    print(json.dumps(asdict(rates)))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
