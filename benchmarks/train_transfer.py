"""Do learning rates transfer across widths? Loss against each rate at three widths: `make bench NAME=transfer`.

Same corpus, steps and seed; one rate is varied at a time, the other stays at its middle. Writes
benchmarks/results/transfer.json and docs/images/transfer.png. Losses depend on no clock: a busy machine does no harm.
"""

import math
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import train_corpus
from benchmarks.results import ROOT, goal, write
from benchmarks.train_runs import CORPUS, prepare
from components.core.workers import pool

WIDTHS = (64, 128, 256)
DEPTH, HEAD_CHANNELS = 2, 32
STEPS, BATCH, CONTEXT = 480, 8, 128
MIDDLE = 0.02
FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
RATES = {"matrix_lr": "matrices (Muon)", "embedding_lr": "embedding and head (AdamW)"}
PICTURE = ROOT / "docs" / "images" / "transfer.png"

Run = tuple[int, float, float]
"""Width, rate of the matrices, rate of the embedding."""


def train_one(run: Run, corpus: Path) -> float:
    """Bits per byte of held-out text."""
    from components.core.progress import Progress
    from components.model.shape import derive_shape
    from components.model.transformer import Transformer
    from components.params import ModelShape, Numerics, Optimizer
    from components.tokens.shards import TokenShards
    from components.training.data_order import pretrain_batches
    from components.training.loop import train
    from components.training.objectives import language_model_loss
    from components.training.train_config import TrainConfig

    width, matrix_lr, embedding_lr = run
    network = ModelShape(size=DEPTH, width=width, heads=width // HEAD_CHANNELS)
    model = Transformer(derive_shape(network, train_corpus.VOCABULARY, CONTEXT, causal=True)).initialise(1)
    shards = TokenShards.open(corpus / "train")
    batches = pretrain_batches(shards, context=CONTEXT, batch=BATCH, seed=1, mask_rate=None, document_mask=False)
    optimizer = Optimizer(matrix_lr=matrix_lr, embedding_lr=embedding_lr, schedule="linear")
    settings = TrainConfig(STEPS, optimizer, checkpoint_every=STEPS, max_rollbacks=10)
    with tempfile.TemporaryDirectory(prefix="greenhouse-transfer-") as work:
        train(model, batches, language_model_loss, settings, Path(work), Progress(), numerics=Numerics())
    return train_corpus.bits_per_byte(model.eval(), corpus, CONTEXT)


def runs() -> list[Run]:
    """Each rate varied at each width; the middle once."""
    found = [(width, MIDDLE * factor, MIDDLE) for width in WIDTHS for factor in FACTORS]
    return found + [(width, MIDDLE, MIDDLE * factor) for width in WIDTHS for factor in FACTORS if factor != 1.0]


def curves(losses: dict[Run, float]) -> dict[str, dict[str, list[float]]]:
    """Rate -> width -> losses in the order of FACTORS."""
    matrix = {str(w): [losses[w, MIDDLE * f, MIDDLE] for f in FACTORS] for w in WIDTHS}
    embedding = {str(w): [losses[w, MIDDLE, MIDDLE * f] for f in FACTORS] for w in WIDTHS}
    return {"matrix_lr": matrix, "embedding_lr": embedding}


def regret(found: dict[str, list[float]]) -> float:
    """Largest relative loss paid at a width for taking the rate that is best at the smallest."""
    best = min(range(len(FACTORS)), key=lambda index: found[str(WIDTHS[0])][index])
    return max(row[best] / min(row) - 1 for row in found.values())


def plot(found: dict[str, dict[str, list[float]]]) -> None:
    """Loss against rate, a line per width."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.8), layout="constrained")
    for axes, (rate, title) in zip(figure.subplots(1, 2, sharey=True), RATES.items(), strict=True):
        for number, (width, row) in enumerate(found[rate].items()):
            axes.plot([MIDDLE * f for f in FACTORS], row, "o-", color=f"C{number}", label=f"width {width}")
            best = min(range(len(row)), key=row.__getitem__)
            axes.plot([MIDDLE * FACTORS[best]], [row[best]], "*", color=f"C{number}", markersize=13)
        axes.set(xscale="log", title=title, xlabel="peak learning rate", ylabel="held-out bits per byte")
        axes.set_xticks([MIDDLE * f for f in FACTORS], [f"{MIDDLE * f:g}" for f in FACTORS])
        axes.minorticks_off()
        axes.legend(fontsize=8)
    figure.savefig(PICTURE, dpi=90, metadata={"Software": None})


def main() -> None:
    """Run all, write the figures and the picture."""
    prepare()
    wanted, losses = runs(), dict[Run, float]()
    with pool(2) as processes:
        for run, loss in zip(wanted, processes.map(partial(train_one, corpus=CORPUS), wanted), strict=True):
            losses[run] = loss
            print(f"width {run[0]}, rates {run[1]:g} and {run[2]:g}: {loss:.4f}", flush=True)
    found = curves(losses)
    plot(found)
    results: dict[str, Any] = {"rates": [MIDDLE * factor for factor in FACTORS], "bits_per_byte": found}
    worst = {rate: regret(rows) for rate, rows in found.items()}
    assert all(math.isfinite(value) for value in worst.values())
    says = "most a width loses by taking the best rate of width 64:"
    goals = [
        goal(f"transfer_regret_{rate}", value, 0.01, "lower", says=f"{says} {RATES[rate]}")
        for rate, value in worst.items()
    ]
    write("transfer", results, goals)


if __name__ == "__main__":
    from benchmarks.train_transfer import main as named_main  # workers cannot import `__main__`

    named_main()
