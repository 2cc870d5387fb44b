"""Mitigation trial: the effect of counterfactual augmentation on a model's pronoun gaps, with controls.

Three mixtures of the same documents: as they are (`none`), each document with gendered words beside
its swapped copy (`counterfactual`, Lu et al. 2018, arXiv 1807.11714), and with as many bytes of
unchanged repeats (`random`), without which whatever repeating text does would be credited to the
swap. Each is trained on with the same seeds, network and number of tokens, in one tokenizer; each
seed has its own draw of the mixture. What is compared is the spread of the pronoun gap over
occupations (pronoun_gap.py of the evaluate stage), seed by seed, with intervals over seeds and
draws. Augmentation counts as a mitigation if the whole interval of `counterfactual - random` lies
below zero; else the report says "not shown". The prior (the gap of neutral subjects) moves with any
text that names more women, and is no evidence.
"""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from components.core.files import read_json, sha256_bytes, write_json, write_text
from components.core.progress import Progress
from components.corpus.corpus import read_manifest, read_shard
from components.params import Canaries, Curriculum, Mitigate, Mix, Pretrain
from components.reporting.figures import error_bars, figure, save
from components.reporting.tables import Page, interval, markdown_table
from components.stages.evaluate.heldout_sample import sample, score_documents
from components.stages.evaluate.tasks.bits_per_byte import bits
from components.stages.evaluate.tasks.pronoun_gap import relative_gaps, spread
from components.stages.evaluate.tasks.scoring import LanguageModel
from components.stages.mix.stage import mix
from components.statistics import Estimate, ratio
from components.studies.trainings import RunPoints, TrainingStudy, made_once, pretrained
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

    @property
    def name(self) -> str:
        return f"{self.arm}-seed{self.seed}"

    @property
    def facts(self) -> dict[str, Any]:
        return asdict(self)


def runs(params: Mitigate) -> list[TrialRun]:
    """All models, those of one seed together: a trial that is stopped has whole comparisons."""
    return [TrialRun(arm, seed) for seed in range(1, params.seeds + 1) for arm in ARMS]


@dataclass(frozen=True)
class MitigationTrial(TrainingStudy[TrialRun, Mitigate]):
    """The trial, on what the pipeline made.

    Attributes:
        mixing: the pipeline's; each mixture has its weights.
    """

    name = "mitigate"
    mixing: Mix

    def carry_out(self, run: RunPoints, reports: Path) -> dict[str, float | None]:
        """Train all models and compare the arms."""
        result = summary(run(runs(self.params)))
        write_json(reports / "mitigate.json", result)
        write_text(reports / "report.md", markdown(result, self.params))
        plot(result, reports / "plots" / "mitigate.png")
        swap = result["contrasts"]["counterfactual - random"]
        return {f"{f}_swap_{b}": swap[f][b] for f in swap for b in ("value", "low", "high")}

    def summary(self, result: dict[str, Any]) -> str:
        """Its spread and its loss."""
        return f"spread {result['spread']:.3f}, {result['bits_per_byte']:.4f} bits per byte"

    def tokens(self, point: TrialRun) -> Path:
        """Token shards of a point's mixture, its own draw, made once.

        Curriculum and canaries are left out, weights are the pipeline's; the tokenizer is the
        pipeline's for all arms.
        """
        data = self.workplace.root / "data"
        bare = {"curriculum": Curriculum(share=0.0), "canaries": Canaries(per_count=0)}
        params = self.mixing.model_copy(update={"augment": point.arm, "seed": point.seed} | bare)

        def encoded(temp: Path) -> None:
            mixture, tokenizer = temp / "mixture", data / "tokenize/tokenizer.json"
            mixture.mkdir()
            mix(train=data / "bias/train", params=params, out=mixture, reports=temp / "reports", work=temp / "work")
            encode(mixture / "train", tokenizer.read_text(encoding="utf-8"), temp / "out/train")
            shutil.copy(tokenizer, temp / "out")
            shutil.copytree(data / "tokenize/heldout", temp / "out/heldout")

        return made_once(self.workplace.work / f"tokens-{point.name}", encoded)

    def train(self, point: TrialRun, progress: Progress) -> None:
        """Pretrain a model; only text and seed differ from the others'."""
        params = self.params
        settings = Pretrain(
            model=params.model, steps=params.steps, batch=params.batch, context=params.context, seed=point.seed,
            eval_every=params.steps, checkpoint_every=max(1, params.steps // 4),
        )  # fmt: skip
        pretrained(self.folder(point), "causal", self.tokens(point), settings, self.workplace.numerics, progress)

    def examine(self, point: TrialRun, trained: None) -> dict[str, Any]:
        """Spread and prior of the pronoun gap (nats), bits per byte of held-out text, and tokens of the mixture."""
        network = LanguageModel.load(self.folder(point) / "model", self.workplace.numerics.device)
        gaps_OT, prior = relative_gaps(network)
        heldout = self.workplace.root / "data/ingest/heldout"
        scored = score_documents(network, sample(heldout, self.params.heldout_kilobytes, 1))
        total = sum(bits(entry.scores.logp) for entry in scored)
        num_bytes = sum(int(entry.num_bytes.sum()) for entry in scored)
        tokens = read_json(self.tokens(point) / "train/manifest.json")["num_tokens"]
        figures = {"spread": spread(gaps_OT).value, "prior": prior, "bits_per_byte": total / num_bytes}
        return figures | {"mixture_tokens": tokens}


def encode(corpus: Path, tokenizer_json: str, out: Path) -> None:
    """Token shards of a corpus in a tokenizer that is there already."""
    encoder = Encoder(tokenizer_json)
    manifest = read_manifest(corpus)
    sources = sorted(manifest.sources)
    with TokenWriter(out, encoder.vocab_size, sha256_bytes(tokenizer_json.encode()), sources) as writer:
        for shard in manifest.shards:
            documents = read_shard(corpus / shard.file)
            writer.add_documents(
                list(encoder.encode_many(document.text for document in documents)),
                np.array([sources.index(document.source) for document in documents], np.int64),
                np.array([len(document.text.encode()) for document in documents], np.int64),
            )


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


def markdown(result: dict[str, Any], params: Mitigate) -> str:
    """The report."""
    num_tokens = {run["arm"]: run["mixture_tokens"] for run in result["runs"]}
    trained = params.steps * params.batch * params.context
    rows = [
        (f"{title}{name}", *(interval(one["value"], one["low"], one["high"], form) for one in metrics.values()))
        for title, form, group in (("", ".3f", result["arms"]), ("difference, ", "+.3f", result["contrasts"]))
        for name, metrics in group.items()
    ]
    page = Page("Mitigation: counterfactual augmentation, on trial", None)
    page.add(
        f"{params.seeds} seeds per arm, {trained:,} tokens each of mixtures of "
        + ", ".join(f"{count:,} ({arm})" for arm, count in num_tokens.items())
        + ". 95 % intervals are over seeds and draws of the mixture.",
        f"Mitigation by counterfactual copies: **{result['verdict']}**. Only `counterfactual - random` is the swap's "
        "doing: the random arm repeats as much text unchanged. The prior is the gap of neutral subjects.",
        markdown_table(("", "spread over occupations [nats]", "prior [nats]", "bits per byte"), rows, "llll"),
    )
    return page.markdown


def plot(result: dict[str, Any], path: Path) -> None:
    """Every run as a point, each arm's mean with its interval."""
    drawing, grid = figure(9, 3.6, columns=len(FIGURES))
    for axes, (metric, label) in zip(grid, FIGURES.items(), strict=True):
        for column, arm in enumerate(ARMS):
            row = result["arms"][arm][metric]
            bars = error_bars([row["value"]], [row["low"]], [row["high"]])
            axes.errorbar([column], [row["value"]], bars, fmt="o", capsize=4)
            runs = [run[metric] for run in result["runs"] if run["arm"] == arm]
            axes.plot([column + 0.15] * len(runs), runs, ".", color="gray")
        axes.set_xticks(range(len(ARMS)), ARMS)
        axes.set(ylabel=label, title=f"{metric.replace('_', ' ')}: mean, 95 % over seeds; runs in gray")
    save(drawing, path)
