"""Mitigation trial: the effect of counterfactual augmentation on a model's pronoun gap, with controls.

Three mixtures of the same documents: as they are (`none`), each document with gendered words beside its swapped copy
(`counterfactual`, Lu et al. 2018, arXiv 1807.11714), and with as many bytes of unchanged repeats (`random`), without
which whatever repeating text does would be credited to the swap. Each is trained on with the same seeds, network and
number of tokens, in one tokenizer. A model's pronoun gap and bits per byte are those of the evaluate stage
(bias_mitigation.py). What is compared is seed by seed, and intervals are over seeds: the luck of a run is in them.
"""

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.stats import t as student

from components.carbon.planning.budget import metered
from components.core.files import move, read_json, sha256_bytes, write_json
from components.corpus.corpus import read_manifest, read_shard
from components.params import Canaries, Curriculum, Mitigate, Mix, Numerics, Pretrain, Runtime
from components.reporting.figures import error_bars, figure, save
from components.reporting.tables import markdown_table
from components.stages.evaluate.heldout_sample import sample
from components.stages.evaluate.tasks.bias_mitigation import evaluate_arm
from components.stages.evaluate.tasks.scoring import LanguageModel
from components.stages.evaluate.tasks.task import TaskResult
from components.stages.mix.stage import mix
from components.tokens.shards import TokenWriter
from components.tokens.tokenizer import END_OF_TEXT, Encoder

Arm = Literal["none", "counterfactual", "random"]
ARMS: tuple[Arm, ...] = ("none", "counterfactual", "random")
FIGURES = {"gap": "log P(she) - log P(he) [nats]", "bits_per_byte": "held-out bits per byte"}
CONTRASTS = (("counterfactual", "random"), ("counterfactual", "none"), ("random", "none"))
"""Pairs of arms to compare; the first alone measures the swap."""


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

    def folder(self, arm: str, seed: int) -> Path:
        """Folder of one run."""
        return self.work / f"{arm}-seed{seed}"


@dataclass(frozen=True)
class TrialRun:
    """One model of the trial."""

    arm: Arm
    seed: int


def runs(params: Mitigate) -> list[TrialRun]:
    """All models, those of one seed together: a trial that is stopped has whole comparisons."""
    return [TrialRun(arm, seed) for seed in range(1, params.seeds + 1) for arm in ARMS]


def prepare(arm: Arm, folders: TrialFolders, own: Mix) -> int:
    """The tokens of an arm's mixture, made once; returns their number.

    Curriculum and canaries are left out, weights are the pipeline's; the tokenizer is the pipeline's for all arms.
    """
    folder, aside = folders.work / f"tokens-{arm}", folders.work / f"aside-{arm}"
    if not folder.exists():
        shutil.rmtree(aside, ignore_errors=True)
        for name in ("out", "reports", "work"):
            (aside / name).mkdir(parents=True)
        without = {"augment": arm, "curriculum": Curriculum(share=0.0), "canaries": Canaries(per_count=0)}
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
        ids = list(encoder.encode_many([document.text for document in documents], 1))
        separator = np.array([END_OF_TEXT], dtype=np.uint32)
        writer.add_shard(
            np.concatenate([part for document in ids for part in (separator, document)]),
            np.array([len(document) + 1 for document in ids], np.int64),
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

    folder = folders.folder(run.arm, run.seed)
    if not (folder / "result.json").exists():
        for name in ("model", "reports"):
            shutil.rmtree(folder / name, ignore_errors=True)
            (folder / name).mkdir(parents=True)
        (folder / "work").mkdir(exist_ok=True)
        with metered(folders.ledger, folders.runtime, {"stage": "mitigate"}, folders.root) as (_, progress):
            pretrain(
                objective="causal",
                tokens=folders.work / f"tokens-{run.arm}",
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
        eval_every=params.steps, checkpoint_every=max(1, params.steps // 4), keep=1,
    )  # fmt: skip


def evaluated(model: Path, folders: TrialFolders, params: Mitigate) -> dict[str, float]:
    """The pronoun gap and bits per byte of a model, as the evaluate stage has them."""
    documents = sample(folders.data / "ingest/heldout", params.heldout_kilobytes, 1)
    result = TaskResult("mitigate")
    evaluate_arm(result, LanguageModel.load(model, folders.numerics.device), documents, "")
    found = {}
    for metric in FIGURES:
        rows = [row for row in result.items if row["metric"] == metric]
        found[metric] = float(sum(row["score"] for row in rows) / sum(row["weight"] for row in rows))
    return found


# -- statistics --------------------------------------------------------------------------------------------------------


def mean_over_seeds(values: Sequence[float], confidence: float = 0.95) -> dict[str, float]:
    """Mean of one figure per seed with Student's interval: value, low, high, n."""
    n, mean = len(values), float(np.mean(values))
    spread = float(student.ppf(0.5 + confidence / 2, n - 1)) * float(np.std(values, ddof=1)) / math.sqrt(n)
    return {"value": mean, "low": mean - spread, "high": mean + spread, "n": n}


def summary(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Each arm's figures, and the differences of arms seed by seed, with intervals over seeds."""
    by = {(row["arm"], row["seed"]): row for row in results}
    seeds = sorted({row["seed"] for row in results})
    arms = {
        arm: {figure: mean_over_seeds([by[arm, seed][figure] for seed in seeds]) for figure in FIGURES} for arm in ARMS
    }
    contrasts = {
        f"{one} - {other}": {
            figure: mean_over_seeds([by[one, seed][figure] - by[other, seed][figure] for seed in seeds])
            for figure in FIGURES
        }
        for one, other in CONTRASTS
    }
    return {"arms": arms, "contrasts": contrasts, "runs": list(results)}


def markdown(found: dict[str, Any], params: Mitigate, num_tokens: Mapping[Arm, int]) -> str:
    """The report."""
    trained = params.steps * params.batch * params.context
    rows = [
        (f"{title}{name}", *(_shown(metrics[metric], sign=bool(title)) for metric in FIGURES))
        for title, group in (("", found["arms"]), ("difference, ", found["contrasts"]))
        for name, metrics in group.items()
    ]
    lines = [
        "# Mitigation: counterfactual augmentation, on trial",
        "",
        f"{params.seeds} seeds per arm, {trained:,} tokens each of mixtures of "
        + ", ".join(f"{count:,} ({arm})" for arm, count in num_tokens.items())
        + ". 95 % intervals are over seeds. A gap of 0 is no preference for either pronoun.",
        "",
        markdown_table(("", "pronoun gap [nats]", "bits per byte"), rows, "lll"),
    ]
    lines += ["", "Only `counterfactual - random` is the swap's doing: the random arm repeats as much text unchanged."]
    return "\n".join(lines) + "\n"


def _shown(row: dict[str, float], sign: bool) -> str:
    form = "{:+.3f}" if sign else "{:.3f}"
    value, low, high = (form.format(row[name]) for name in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def plot(found: dict[str, Any], path: Path) -> None:
    """Every run as a point, each arm's mean with its interval."""
    drawing, grid = figure(9, 3.6, columns=len(FIGURES))
    for axes, (metric, label) in zip(grid, FIGURES.items(), strict=True):
        for place, arm in enumerate(ARMS):
            value, low, high = ([found["arms"][arm][metric][key]] for key in ("value", "low", "high"))
            axes.errorbar([place], value, error_bars(value, low, high), fmt="o", capsize=4)
            runs = [run[metric] for run in found["runs"] if run["arm"] == arm]
            axes.plot([place + 0.15] * len(runs), runs, ".", color="gray")
        axes.set_xticks(range(len(ARMS)), ARMS)
        axes.set(ylabel=label, title=f"{metric.replace('_', ' ')}: mean, 95 % over seeds; runs in gray")
        if metric == "gap":
            axes.axhline(0, color="gray", lw=1, ls="--")
    save(drawing, path)
