"""The report of a pretraining run: figures, the learning curve, and what each head looks at."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tokenizers
import torch

from components.core.report import Report
from components.model.export import Network
from components.model.transformer import Transformer, captured_attention
from components.params import Numerics, Pretrain
from components.reporting.figures import COLOURS, GREY, WIDTH, chart, figure, save
from components.reporting.tables import write_table
from components.scores import Score
from components.tokens.shards import TokenShards
from components.training import likelihood, objectives
from components.training.data_order import SHORTEST_WARM_UP
from components.training.train_config import TrainResult
from greenhouse_record.order import described, phases_of

MASK_SEED = 0
"""Chooses hidden tokens of the masked evaluation; the same for all runs, so they compare."""


@dataclass(frozen=True)
class HeldoutEvaluator:
    """Evaluator of a pretraining run on held-out tokens.

    Attributes:
        shards: held-out tokens.
        token_bytes: of `bytes_of_tokens`.
        context: tokens per window.
        mask_rate: share of tokens hidden; None for the causal objective.
    """

    shards: TokenShards
    token_bytes: np.ndarray
    context: int
    mask_rate: float | None
    numerics: Numerics

    def starts(self, count: int) -> list[int]:
        """Positions where `count` windows start, spread evenly; fewer if the text is short."""
        last = self.shards.num_tokens - self.context - 1
        count = min(count, last // self.context + 1)
        return [round(index * last / max(1, count - 1)) for index in range(count)]

    def score(self, model: Network, windows: int, check: Callable[[], None] = lambda: None) -> dict[str, float]:
        """Loss (nats per target), accuracy, and bits per byte over `windows` windows; `check` precedes each batch."""
        rows = [self.row(start, number) for number, start in enumerate(self.starts(windows))]
        scored = likelihood.score(model, rows, self.numerics, check)
        nats, hits = -sum(one.total for one in scored), float(sum(one.hit.sum() for one in scored))
        targets = np.concatenate([row.targets for row in rows])
        result = {"loss": nats / max(1, len(targets)), "accuracy": hits / max(1, len(targets))}
        bits = "bits_per_byte" if self.mask_rate is None else "bits_per_hidden_byte"
        return result | {bits: nats / math.log(2) / max(1, int(self.token_bytes[targets].sum()))}

    def row(self, start: int, number: int) -> likelihood.TokenRow:
        """The window at `start`, the one of this number."""
        if self.mask_rate is None:
            return likelihood.next_tokens(self.shards.window(start, self.context + 1))
        ids = self.shards.window(start, self.context)
        hidden = objectives.hidden_places(ids, self.mask_rate, MASK_SEED, number)
        return likelihood.hidden_tokens(ids, np.flatnonzero(hidden))


RECENT = 20
"""Steps over which the last training loss is averaged."""
SHOWN_TOKENS = 12
"""Tokens of the sentence in the picture of attention."""
SHOWN = 6
"""Layers and heads in that picture at most."""


@dataclass(frozen=True)
class Trained:
    """A finished pretraining run, and the text that it was trained on."""

    objective: str
    params: Pretrain
    model: Transformer
    heldout: HeldoutEvaluator
    train: TokenShards
    result: TrainResult
    scores: dict[str, float]
    flops: float

    @property
    def tokens(self) -> int:
        """Tokens trained on."""
        return self.params.steps * self.params.batch * self.params.context

    @property
    def epochs(self) -> float:
        """How often each token of the training text was seen, on average."""
        return self.tokens / self.train.num_tokens

    @property
    def unlike_heldout(self) -> float:
        """Share of the training tokens whose source the held-out text has not: generated text."""
        ours, heldout = (shards.manifest.per_source for shards in (self.train, self.heldout.shards))
        return sum(row["num_tokens"] for name, row in ours.items() if name not in heldout) / self.train.num_tokens


def write(trained: Trained, tokenizer: tokenizers.Tokenizer, reports: Path) -> Report:
    """Write metrics, plots and details under `reports`; returns the report."""
    result = trained.result
    metrics = {f"heldout/{name}": value for name, value in trained.scores.items()}
    metrics |= {
        "train/loss": float(np.mean(result.losses[-RECENT:])),
        "train/skipped_batches": float(len(result.skipped)),
        "num_parameters": float(trained.model.num_parameters),
        "tokens": float(trained.tokens),
        "epochs": trained.epochs,
        "flops": trained.flops,
    }
    report = Report(metrics, _markdown(trained), {"scores": [_score(trained).as_json()]})
    report.write(reports)
    details, plots = reports / "details", reports / "plots"
    write_table(details / "loss.csv", ("step", "loss"), enumerate(result.losses, 1))
    write_table(details / "heldout.csv", list(result.evals[0]), (list(scores.values()) for scores in result.evals))
    _plot_curve(trained, plots / "learning_curve.png")
    _plot_attention(trained, tokenizer, plots / "attention.png")
    return report


def _score(trained: Trained) -> Score:
    """The score that stands for the model until evaluate has asked it: of all held-out text, without an interval."""
    facts = {"model": f"pretrain/{trained.objective}", "measured_by": f"pretrain@{trained.objective}"}
    metric = "accuracy"
    if trained.objective == "causal":
        metric, facts = "bits_per_byte", facts | {"unit": "bits", "better": "lower"}
    title = f"held-out {metric.replace('_', ' ')}, whole held-out set"
    return Score.model_validate(
        facts | {"name": f"{trained.objective}/heldout_{metric}", "title": title, "value": trained.scores[metric]}
    )


def _markdown(trained: Trained) -> str:
    shape, params, result = trained.model.shape, trained.params, trained.result
    scores = ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in trained.scores.items())
    head = "tied" if shape.tied else "untied"
    lines = [
        f"# Pretraining, {trained.objective}",
        "",
        f"On the whole held-out set, after the last step: {scores}.",
        "",
        f"- {trained.model.num_parameters / 1e6:.2f} M parameters ({shape.num_block_parameters / 1e6:.2f} M in "
        f"{shape.depth} blocks of width {shape.width}, {shape.heads} heads, feed-forward {shape.feed_forward}, {head} "
        f"head over {shape.vocab_size} tokens)",
        f"- {params.steps} steps of {params.batch} x {params.context} tokens: {trained.tokens / 1e6:.2f} M, "
        f"{trained.epochs:.2f} epochs, {trained.flops:.3g} FLOPs",
        f"- {params.optimizer.name}, {params.optimizer.schedule} schedule, peak rates {params.optimizer.matrix_lr:g} "
        f"(matrices) and {params.optimizer.embedding_lr:g} (the rest)",
    ]
    if params.length_warmup:
        lines.append(f"- windows of {windows(params)}; a batch has as many more of the short ones")
    if trained.objective == "masked":
        lines.append(
            f"- {params.mask_rate:.0%} of tokens hidden; loss and accuracy are of hidden tokens, predicted from both "
            "sides, so they do not compare with a causal model's"
        )
    if result.skipped:
        lines.append(f"- batches skipped after a bad loss: {', '.join(map(str, result.skipped))}")
    return "\n".join(lines)


def _plot_curve(trained: Trained, path: Path) -> None:
    """Training loss with its running mean, held-out loss, and the loss of guessing."""
    losses, evals = trained.result.losses, trained.result.evals
    width = max(1, len(losses) // 40)
    smooth = np.convolve(losses, np.ones(width) / width, mode="valid")
    guess = math.log(trained.model.shape.vocab_size)
    caption = f"Loss while the {trained.objective} model trains."
    if trained.unlike_heldout:
        caption += (
            f" Training loss lies below held-out loss because {trained.unlike_heldout:.0%} of the training tokens are "
            "generated text, which is easier to predict than the held-out text, which has none."
        )
    with chart(path, caption, xlabel="step", ylabel="loss (nats per predicted token)") as axes:
        steps = np.arange(1, len(losses) + 1)
        axes.plot(steps, losses, color=COLOURS[0], alpha=0.25, linewidth=1)
        axes.plot(steps[width - 1 :], smooth, color=COLOURS[0], label=f"training (mean of {width} steps)")
        axes.plot([e["step"] for e in evals], [e["loss"] for e in evals], "o-", color=COLOURS[1], label="held out")
        axes.axhline(guess, color=GREY, linestyle=":", label=f"guessing ({guess:.2f})")


@torch.no_grad()
def _plot_attention(trained: Trained, tokenizer: tokenizers.Tokenizer, path: Path) -> None:
    """A picture of what each head looks at, for the first tokens of the held-out text."""
    shards, model = trained.heldout.shards, trained.model
    ids = shards.window(0, min(SHOWN_TOKENS, shards.num_tokens, model.shape.context))
    device = model.embed_tokens.weight.device
    with captured_attention(model) as seen:
        model.hidden(torch.from_numpy(ids)[None].to(device))
    layers, heads = min(SHOWN, model.shape.depth), min(SHOWN, model.shape.heads)
    drawing, grid = figure(WIDTH, 0.8 + WIDTH / heads * layers * 0.72, rows=layers, columns=heads)
    labels = [tokenizer.decode([int(token)], skip_special_tokens=False).replace("\n", "\\n") for token in ids]
    labels = [label.replace("$", r"\$")[:12] for label in labels]
    for axes, (layer, head) in zip(grid, np.ndindex(layers, heads), strict=True):
        image = axes.imshow(seen[layer][0, head].cpu().numpy(), vmin=0, vmax=1, cmap="viridis")
        axes.set_title(f"layer {layer + 1}, head {head + 1}", fontsize=7)
        axes.set_xticks([])
        axes.set_yticks(range(len(labels)), labels if head == 0 else [""] * len(labels), fontsize=6)
    drawing.colorbar(image, ax=grid, shrink=0.6, label="share of attention")
    caption = (
        f"Attention of the {trained.objective} model on the first held-out tokens: a row per token, which shares its "
        "attention among the columns, the same tokens in the same order."
    )
    save(drawing, path, caption)


def windows(params: Pretrain) -> str:
    """Lengths of the windows of a run, in words."""
    phases = phases_of(params.context, params.batch, params.seed, params.steps, params.length_warmup, SHORTEST_WARM_UP)
    return described(phases, params.steps)
