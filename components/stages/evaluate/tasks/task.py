"""Eval tasks: what one is given (`EvalContext`) and what it returns (`TaskResult`).

A task is a function of an `EvalContext` (models, held-out text, settings) that returns a
`TaskResult`: one row per item it scored, and from those rows its metrics, scores and curves.
Everything reported can be recomputed from the rows, and two models are compared on rows with the
same ids. A task that does not apply (another language, no canaries) raises `NotApplicable` with the
reason, which is reported like a score.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from components.core.files import read_json, sha256_bytes
from components.corpus.corpus import Document
from components.counting.registry import BLIND
from components.counting.training_text import TrainingText
from components.params import Evaluate, Numerics
from components.scored_items import COLUMNS
from components.scores import Baseline, Score, as_scores
from components.stages.evaluate.heldout_sample import (
    MIN_ENGLISH_SHARE,
    DocumentScores,
    english_share,
    sample,
    score_documents,
)
from components.stages.evaluate.tasks.scoring import LanguageModel
from components.statistics import Estimate, ratio
from components.tokens.shards import TokenShards


def work_of(document: Document) -> dict[str, str]:
    """Cluster and stratum of an item of held-out text: its work, its source."""
    return {"cluster": document.group, "stratum": document.source}


def item_id(*content: str | bytes) -> str:
    """An id that follows from what is asked: items of other settings, cuts or tokenizers share none."""
    return sha256_bytes(b"\n".join(part if isinstance(part, bytes) else part.encode() for part in content))[:16]


class NotApplicable(Exception):  # noqa: N818 - a task that does not apply is no error
    """A task that does not apply to these models or texts; the message is the reason a person reads."""


class Tuned(NamedTuple):
    """Folders of a model that was tuned further, and of the one it started from."""

    folder: Path
    base: Path


@dataclass(frozen=True)
class Folders:
    """Folders of the models and the data (absolute; never written to an output)."""

    causal: Path
    masked: Path
    instruct: Path
    classify: Path
    mix: Path
    heldout: Path
    tokens: Path
    further: Mapping[str, Tuned] = field(default_factory=dict)


@dataclass
class EvalContext:
    """Models, held-out text and settings of the tasks, loaded when first used and shared by those of one process."""

    folders: Folders
    params: Evaluate
    numerics: Numerics

    @cached_property
    def causal(self) -> LanguageModel:
        """The pretrained causal model."""
        return self._load(self.folders.causal)

    @cached_property
    def masked(self) -> LanguageModel:
        """The pretrained masked model."""
        return self._load(self.folders.masked)

    @cached_property
    def instruct(self) -> LanguageModel:
        """The instruction-tuned causal model."""
        return self._load(self.folders.instruct)

    def further(self, branch: str) -> tuple[LanguageModel, LanguageModel] | None:
        """A model tuned further and the one it started from; None if there is none, or its tokenizer is its own."""
        tuned = self.folders.further.get(branch)
        if not tuned or "base" in read_json(tuned.folder / "greenhouse.json").get("finetuning", {}):
            return None
        base = self.instruct if tuned.base == self.folders.instruct else self._load(tuned.base)
        return self._load(tuned.folder), base

    def _load(self, folder: Path) -> LanguageModel:
        return LanguageModel.load(folder, self.numerics.device)

    @cached_property
    def heldout(self) -> list[Document]:
        """Held-out documents of every source, cut to the agreed size."""
        return sample(self.folders.heldout, self.params.heldout_kilobytes, self.params.seed)

    @cached_property
    def heldout_scores(self) -> list[DocumentScores]:
        """The causal model's scores of the held-out documents."""
        return score_documents(self.causal, self.heldout)

    @cached_property
    def training_text(self) -> TrainingText:
        """Training text of the causal model."""
        return TrainingText(self.folders.causal, TokenShards.open(self.folders.tokens / "train"))

    @cached_property
    def masked_training_text(self) -> TrainingText:
        """Training text of the masked model."""
        return TrainingText(self.folders.masked, TokenShards.open(self.folders.tokens / "train"), causal=False)

    @cached_property
    def english_share(self) -> float:
        """Share of common English words in the held-out text."""
        return english_share(self.heldout)

    @property
    def english(self) -> bool:
        """Whether the held-out text reads as English."""
        return self.english_share >= MIN_ENGLISH_SHARE

    def require_english(self) -> None:
        """Raise `NotApplicable` unless the held-out text reads as English."""
        if not self.english:
            raise NotApplicable(
                f"the held-out text does not read as English ({self.english_share:.1%} common English words)"
            )


@dataclass
class Curve:
    """A plot as data: what is drawn to PNG and written as CSV for `dvc plots`.

    Attributes:
        name: file name without suffix.
        points: rows with x, y, low, high (None where there is no interval), series, n.
        chance: where guessing would be, drawn as a dashed line; None for no line. `line` says what
            it is.
        kind: `line`, `bar` (x is a category) or `diagonal` (a line plus y = x).
    """

    name: str
    title: str
    x_label: str
    y_label: str
    points: list[dict[str, Any]]
    chance: float | None = None
    kind: str = "line"
    log2_x: bool = False
    line: str = "the baseline"

    def add(self, x: float | str, estimate: Estimate, series: str = "") -> None:
        """Append a point."""
        bounds = {"low": estimate.low, "high": estimate.high, "n": estimate.n}
        self.points.append({"series": series, "x": x, "y": estimate.value, **bounds})


@dataclass
class TaskResult:
    """Result of one task: item rows, and the metrics, scores and curves made from them.

    Attributes:
        task: its name.
        items: rows of items.parquet (components/scored_items.py).
        metrics: for metrics.json, without the task's name in front.
        scores: lines of the summary table, in order.
        curves: plots.
        facts: anything else worth keeping.
        unit: what its clusters are, in the plural; works if they have strata.
        model: the model it scores, by its folder below models/; rows and scores of another name
            theirs.
    """

    task: str
    items: list[dict[str, Any]] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    scores: list[Score] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    unit: str = ""
    model: str = "pretrain/causal"

    def item(
        self,
        metric: str,
        item: str,
        score: float,
        *,
        condition: str = "",
        weight: float = 1.0,
        cluster: str = "",
        direction: str = "higher",
        stratum: str = "",
        rules: Mapping[str, float] | None = None,
        model: str = "",
    ) -> None:
        """Append a row; without `cluster` the item is its own. Clusters that are works have their source as stratum.

        Args:
            rules: what each rule scores on the item; `baseline` names the one that stands in the
                row.
        """
        where = (self.task, condition, metric, item, cluster or item)
        values = (*where, float(score), float(weight), direction, stratum, None, model or self.model)
        known = {name: float(value) for name, value in (rules or {}).items()}
        self.items.append(dict(zip(COLUMNS, values, strict=True)) | ({"rules": known} if known else {}))

    def rows(self, metric: str, *conditions: str | None) -> list[dict[str, Any]]:
        """The rows of a metric (of some conditions; of all for none, or None)."""
        named = {condition for condition in conditions if condition is not None}
        return [row for row in self.items if row["metric"] == metric and (not named or row["condition"] in named)]

    def estimate(self, metric: str, *conditions: str | None) -> Estimate:
        """The score and interval of this metric's rows (of some conditions; of all for none, or None)."""
        rows = self.rows(metric, *conditions)
        assert rows, f"{self.task}: no items for {metric} {conditions}"
        return _over(rows, [row["score"] for row in rows], self.unit)

    def baseline(
        self, metric: str, condition: str | None = None, *, needs_model: bool = False, learned: bool = False
    ) -> Baseline:
        """The best rule of this metric's rows, which stands in them from then on, and the model's gain over each.

        Args:
            learned: whether the rows ask for an ability that some rule has whole. That is the
                ceiling then, and in the rows stands the best rule that is blind to what is asked:
                whether there is anything to lose.
        """
        rows = self.rows(metric, condition)
        sign, weight = -1.0 if rows[0]["direction"] == "lower" else 1.0, sum(row["weight"] for row in rows)
        gains = {
            name: _over(rows, [sign * (row["score"] - row["rules"][name]) for row in rows], self.unit, True)
            for name in rows[0]["rules"]
        }
        values = {name: sum(row["rules"][name] for row in rows) / weight for name in gains}
        best, *_ = ranked = sorted(gains, key=lambda name: gains[name].value)
        shown = next(name for name in ranked if name in BLIND) if learned else best
        for row in rows:
            row["baseline"] = row["rules"][shown]
        if learned:
            return Baseline(shown, values[shown], gains[shown], ceiling=(best, values[best]), rules=len(gains))
        known, count = (values[shown], gains[shown], needs_model), 0 if needs_model else len(gains)
        return Baseline(shown, *known, tuple(gains.values()), rules=count)

    def paired(self, metric: str, a: str, b: str) -> Estimate:
        """The change of a metric from condition `a` to condition `b`, item by item, with its interval."""
        before, after = self.rows(metric, a), self.rows(metric, b)
        changes = [new["score"] - old["score"] for old, new in zip(before, after, strict=True)]
        return _over(before, changes, self.unit, paired=True)

    def metric(self, name: str, estimate: Estimate, bounds: bool = True) -> None:
        """Put an estimate into metrics.json, as `name`, `name_low`, `name_high`."""
        self.metrics[name] = estimate.value
        if bounds and estimate.low is not None and estimate.high is not None:
            self.metrics |= {f"{name}_low": estimate.low, f"{name}_high": estimate.high}

    def score(
        self,
        metric: str,
        title: str,
        estimate: Estimate,
        baseline: Baseline | None = None,
        note: str = "",
        **facts: Any,
    ) -> None:
        """Put an estimate into the summary table.

        Args:
            metric: the rest of its name, after the task.
            baseline: the best trivial rule on the same items.
            facts: other fields of `Score`; names of items and of a counterpart without the task.
        """
        for link in {"items", "counterpart"} & facts.keys():
            facts[link] = f"{self.task}/{facts[link]}"
        facts = {"model": self.model, "measured_by": "evaluate", "note": note} | facts
        self.scores.append(Score.of(f"{self.task}/{metric}", title, estimate, baseline, **facts))

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self) | {"scores": [score.as_json() for score in self.scores]}

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> "TaskResult":
        """The reverse of `as_dict`."""
        return cls(**raw | {"curves": [Curve(**curve) for curve in raw["curves"]], "scores": as_scores(raw)})


def _over(rows: list[dict[str, Any]], scores: list[float], unit: str, paired: bool = False) -> Estimate:
    """The weighted mean of `scores` (or, `paired`, of differences) of these rows, with its interval over clusters."""
    weight, cluster, stratum = ([row[name] for row in rows] for name in ("weight", "cluster", "stratum"))
    return ratio(scores, weight, cluster, stratum, unit, paired)
