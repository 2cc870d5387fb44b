"""Memory that a compiled training takes beside its forecast: `python -m benchmarks.gpu.compiled_memory CASE FOLDER`.

On a CPU, where the peak of the process is known; its counts as JSON. The case names depth, width, context, sequences.
"""

import json
import sys
from pathlib import Path

import numpy as np

from components.core.progress import Progress
from components.model.shape import derive_shape
from components.model.transformer import Transformer
from components.params import ModelShape, Numerics, Optimizer
from components.training import forecast, loop, objectives
from components.training import numerics as floats
from components.training.objectives import Batch, language_model_loss
from components.training.train_config import TrainConfig

VOCABULARY = 2048


def main(case: str, work: Path) -> None:
    """Two steps, after the forecast of them."""
    depth, width, context, rows = map(int, case.split("-")[1:])
    numerics = Numerics(compile=True, threads=1)
    floats.configure_torch(numerics)
    one = ModelShape(size=depth, width=width, heads=width // 64)
    model = Transformer(derive_shape(one, VOCABULARY, context, causal=True)).initialise(1)

    def batches(number: int) -> Batch:
        return objectives.causal(np.random.default_rng(number).integers(6, VOCABULARY, (rows, context + 1)))

    settings = TrainConfig(steps=2, optimizer=Optimizer(), checkpoint_every=2)
    found = forecast.forecast(model, batches, language_model_loss, settings, numerics)
    loop.train(model, batches, language_model_loss, settings, work, Progress(), numerics=numerics)
    peak = forecast.peak_bytes()
    print(json.dumps({"case": case, "forecast_bytes": found.memory, "peak_bytes": peak,
                      "forecast_over_peak": found.memory / peak}))  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
