"""Mitigation trial: the effect of counterfactual augmentation on a model's pronoun gaps, with controls.

Three mixtures of the same documents: as they are (`none`), each document with gendered words beside its swapped copy
(`counterfactual`, Lu et al. 2018, arXiv 1807.11714), and with as many bytes of unchanged repeats (`random`), without
which whatever repeating text does would be credited to the swap. Each is trained on with the same seeds, network and
number of tokens, in one tokenizer; each seed has its own draw of the mixture. What is compared is the spread of the
pronoun gap over occupations (pronoun_gap.py of the evaluate stage), seed by seed, with intervals over seeds and draws.
Augmentation counts as a mitigation if the whole interval of `counterfactual - random` lies below zero; else the report
says "not shown". The prior (the gap of neutral subjects) moves with any text that names more women, and is no evidence.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from components.carbon.planning.budget import metered
from components.core.files import move, read_json, sha256_bytes, write_json
from components.corpus.corpus import read_manifest, read_shard
from components.params import Canaries, Curriculum, Mitigate, Mix, Numerics, Pretrain, Runtime
from components.reporting.figures import error_bars, figure, save
from components.reporting.tables import interval, markdown_table
from components.stages.evaluate.heldout_sample import sample, score_documents
from components.stages.evaluate.tasks.bits_per_byte import bits
from components.stages.evaluate.tasks.pronoun_gap import relative_gaps, spread
from components.stages.evaluate.tasks.scoring import LanguageModel
from components.stages.mix.stage import mix
from components.statistics import Estimate, ratio
from components.tokens.shards import TokenWriter
from components.tokens.tokenizer import Encoder

Arm = Literal["none", "counterfactual", "random"]
ARMS: tuple[Arm, ...] = ("none", "counterfactual", "random")
FIGURES = {
    "spread": "sd of the gap over occupations [nats]",
    "prior": "log P(she) - log P(he), neutral subjects [nats]",
    "bits_per_byte": "held-out bits per byte",
}
CONTRASTS = (("counterfactual", "random"), ("counterfactual", "none"), ("random", "none"))
"""Pairs of arms to compare; the first alone measures the swap."""


@dataclass(frozen=True)
class TrialRun:
    """One model of the trial."""

    arm: Arm
    seed: int


@dataclass(frozen=True)
class TrialFolders:
    """The pipeline's `data` folder, a work folder that survives kills, and how floats are computed.

    With `ledger` and `runtime` each model is metered, and the project's budget stops it between steps; `root` is where
    runtime's relative paths begin.
    """

    data: Path
    work: Path
    numerics: Numerics
    ledger: Path | None = None
    runtime: Runtime | None = None
    root: Path = Path()

    def folder(self, run: TrialRun) -> Path:
        """Folder of one run's model."""
        return self.work / f"{run.arm}-seed{run.seed}"

    def tokens(self, run: TrialRun) -> Path:
        """Folder of one run's tokens."""
        return self.work / f"tokens-{run.arm}-seed{run.seed}"


def runs(params: Mitigate) -> list[TrialRun]:
    """All models, those of one seed together: a trial that is stopped has whole comparisons."""
    return [TrialRun(arm, seed) for seed in range(1, params.seeds + 1) for arm in ARMS]


def prepare(run: TrialRun, folders: TrialFolders, own: Mix) -> int:
    """The tokens of a run's mixture, its own draw, made once; returns their number.

    Curriculum and canaries are left out, weights are the pipeline's; the tokenizer is the pipeline's for all arms.
    """
    folder = folders.tokens(run)
    aside = folder.with_name(f"aside-{folder.name}")
    if not folder.exists():
        shutil.rmtree(aside, ignore_errors=True)
        for name in ("out", "reports", "work"):
            (aside / name).mkdir(parents=True)
        without = {
            "augment": run.arm,
            "seed": run.seed,
            "curriculum": Curriculum(share=0.0),
            "canaries": Canaries(per_count=0),
        }
        mix(
            train=folders.data / "bias/train",
            params=own.model_copy(update=without),
            out=aside / "out",
            reports=aside / "reports",
            work=aside / "work",
        )
        tokenizer = folders.data / "tokenize/tokenizer.json"
        encode(aside / "out/train", tokenizer.read_text(encoding="utf-8"), aside / "tokens/train")
        shutil.copy(tokenizer, aside / "tokens")
        shutil.copytree(folders.data / "tokenize/heldout", aside / "tokens/heldout")
        move(aside / "tokens", folder)
        shutil.rmtree(aside)
    return int(read_json(folder / "train/manifest.json")["num_tokens"])


def encode(corpus: Path, tokenizer_json: str, out: Path) -> None:
    """Token shards of a corpus in a tokenizer that is there already."""
    encoder = Encoder(tokenizer_json)
    manifest = read_manifest(corpus)
    sources = sorted(manifest.sources)
    writer = TokenWriter(out, encoder.vocab_size, sha256_bytes(tokenizer_json.encode()), sources)
    for shard in manifest.shards:
        documents = read_shard(corpus / shard.file)
        writer.add_documents(
            list(encoder.encode_many(document.text for document in documents)),
            np.array([sources.index(document.source) for document in documents], np.int64),
            np.array([len(document.text.encode()) for document in documents], np.int64),
        )
    writer.close()


def run_one(run: TrialRun, *, folders: TrialFolders, params: Mitigate) -> dict[str, Any]:
    """Train and examine one model; a finished one is read back, an interrupted one goes on from its checkpoint.

    Raises:
        Stopped: the project's budget does not hold another step; a checkpoint is written.
    """
    from components.stages.pretrain.stage import pretrain

    folder = folders.folder(run)
    if not (folder / "result.json").exists():
        for name in ("model", "reports"):
            shutil.rmtree(folder / name, ignore_errors=True)
            (folder / name).mkdir(parents=True)
        (folder / "work").mkdir(exist_ok=True)
        with metered(folders.ledger, folders.runtime, {"stage": "mitigate"}, folders.root) as (_, progress):
            pretrain(
                objective="causal",
                tokens=folders.tokens(run),
                params=settings(params, run.seed),
                numerics=folders.numerics,
                out=folder / "model",
                reports=folder / "reports",
                work=folder / "work",
                progress=progress,
            )
        write_json(folder / "result.json", asdict(run) | evaluated(folder / "model", folders, params))
        shutil.rmtree(folder / "work")
    return dict(read_json(folder / "result.json"))


def settings(params: Mitigate, seed: int) -> Pretrain:
    """Pretraining settings of each model; only the seed differs."""
    return Pretrain(
        model=params.model, steps=params.steps, batch=params.batch, context=params.context, seed=seed,
        eval_every=params.steps, checkpoint_every=max(1, params.steps // 4),
    )  # fmt: skip


def evaluated(model: Path, folders: TrialFolders, params: Mitigate) -> dict[str, float]:
    """Spread and prior of the pronoun gap (nats) and bits per byte of held-out text, as the evaluate stage has them."""
    network = LanguageModel.load(model, folders.numerics.device)
    gaps_OT, prior = relative_gaps(network)
    scored = score_documents(network, sample(folders.data / "ingest/heldout", params.heldout_kilobytes, 1))
    total = sum(bits(entry.scores.logp) for entry in scored)
    num_bytes = sum(int(entry.num_bytes.sum()) for entry in scored)
    return {"spread": spread(gaps_OT).value, "prior": prior, "bits_per_byte": total / num_bytes}


# -- statistics --------------------------------------------------------------------------------------------------------


def summary(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Each arm's figures, differences of arms seed by seed, intervals over seeds and draws, and the verdict."""
    by = {(row["arm"], row["seed"]): row for row in results}
    seeds = sorted({row["seed"] for row in results})

    def mean(figure: str, arm: str, other: str = "") -> Estimate:
        """Mean over seeds of an arm's figure, or of its difference from another arm's."""
        values = [by[arm, seed][figure] - (by[other, seed][figure] if other else 0.0) for seed in seeds]
        return ratio(values, unit="seeds and draws")

    effect = mean("spread", *CONTRASTS[0])
    return {
        "arms": {arm: {figure: mean(figure, arm).as_dict() for figure in FIGURES} for arm in ARMS},
        "contrasts": {
            f"{arm} - {other}": {figure: mean(figure, arm, other).as_dict() for figure in FIGURES}
            for arm, other in CONTRASTS
        },
        "verdict": verdict(effect),
        "runs": list(results),
    }


def verdict(effect: Estimate) -> str:
    """The sentence of a report on an effect on the spread (nats)."""
    if effect.low is None or effect.high is None:
        return f"not shown ({effect.variance})"
    bounds = f"{interval(effect.value, effect.low, effect.high, '+.2g')} nats, over {effect.variance}"
    if effect.low > 0.0:
        return f"not shown, the spread grew: it changes by {bounds}"
    return f"shown: the spread falls by {bounds}" if effect.high < 0.0 else f"not shown: the spread changes by {bounds}"


def markdown(found: dict[str, Any], params: Mitigate, num_tokens: Mapping[Arm, int]) -> str:
    """The report."""
    trained = params.steps * params.batch * params.context
    rows = [
        (f"{title}{name}", *(interval(one["value"], one["low"], one["high"], form) for one in metrics.values()))
        for title, form, group in (("", ".3f", found["arms"]), ("difference, ", "+.3f", found["contrasts"]))
        for name, metrics in group.items()
    ]
    lines = [
        "# Mitigation: counterfactual augmentation, on trial",
        "",
        f"{params.seeds} seeds per arm, {trained:,} tokens each of mixtures of "
        + ", ".join(f"{count:,} ({arm})" for arm, count in num_tokens.items())
        + ". 95 % intervals are over seeds and draws of the mixture.",
        "",
        f"Mitigation by counterfactual copies: **{found['verdict']}**. Only `counterfactual - random` is the swap's",
        "doing: the random arm repeats as much text unchanged. The prior is the gap of neutral subjects.",
        "",
        markdown_table(("", "spread over occupations [nats]", "prior [nats]", "bits per byte"), rows, "llll"),
    ]
    return "\n".join(lines) + "\n"


def plot(found: dict[str, Any], path: Path) -> None:
    """Every run as a point, each arm's mean with its interval."""
    drawing, grid = figure(9, 3.6, columns=len(FIGURES))
    for axes, (metric, label) in zip(grid, FIGURES.items(), strict=True):
        for place, arm in enumerate(ARMS):
            row = found["arms"][arm][metric]
            low, high = ([row["value"] if row[key] is None else row[key]] for key in ("low", "high"))
            axes.errorbar([place], [row["value"]], error_bars([row["value"]], low, high), fmt="o", capsize=4)
            runs = [run[metric] for run in found["runs"] if run["arm"] == arm]
            axes.plot([place + 0.15] * len(runs), runs, ".", color="gray")
        axes.set_xticks(range(len(ARMS)), ARMS)
        axes.set(ylabel=label, title=f"{metric.replace('_', ' ')}: mean, 95 % over seeds; runs in gray")
    save(drawing, path)
