"""Types of the summary; dumped by alias and without unset fields, they are reports/summary.json."""

from collections import Counter
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from components.scores import Score

Number = int | float
Triple = list[Number]
"""Low, mid and high value."""


class AccountRecord(BaseModel):
    """Base of the parts of the summary; numbers stay int or float as they were given."""

    model_config = ConfigDict(populate_by_name=True, protected_namespaces=())


class DocumentCounts(AccountRecord):
    """Documents of a corpus stage.

    Attributes:
        num_in: documents in (JSON: `in`).
        kept, dropped, quarantined, heldout: documents out; `kept_bytes` of text in the kept ones.
        rules, reasons: documents dropped by rule, quarantined by reason.
        sources, licences: counts of the kept documents by name.
        generated: those among them that mix made, by name.
    """

    num_in: int = Field(alias="in")
    kept: int
    dropped: int
    quarantined: int
    heldout: int
    kept_bytes: int
    rules: dict[str, int]
    reasons: dict[str, int]
    sources: dict[str, dict[str, Any]]
    licences: dict[str, dict[str, Any]]
    generated: dict[str, int] = {}


class ModelFacts(AccountRecord):
    """A trained model: its task on the Hugging Face hub, its shape and training.

    Attributes:
        shape, training, finetuning, task: as in the model's greenhouse.json.
        flop: floating-point operations of pretraining; 0.0 if not known.
    """

    pipeline_tag: str
    objective: str
    parameters: int
    shape: dict[str, Any]
    training: dict[str, Any]
    finetuning: dict[str, Any]
    task: dict[str, Any]
    flop: float


class SkippedTask(AccountRecord):
    """A task that a stage left out, and the reason."""

    stage: str
    what: str
    why: str


class SpanCost(AccountRecord):
    """Cost of a set of ledger spans (LedgerCosts.cost)."""

    kwh: Triple
    grams: Triple
    embodied_grams: Triple
    cpu_s: Number
    elapsed_s: Number


class StageCost(SpanCost):
    """Cost of a stage: the completed run and the attempts before it; `elapsed_s` is of the completed run alone."""

    run: str
    fingerprint: str
    attempts: int
    attempts_s: Number
    attempts_kwh: Triple
    ended: str


class Cost(AccountRecord):
    """Cost of the artifacts in this checkout.

    Attributes:
        parts, orchestration_parts: kWh by component.
        sources: component -> how its energy was obtained; `how` in words with shares, `measured` if all of it was.
        shares: of the mid energy: `memory`, `idle`, and `constants` for all that no counter measured.
        constants: those that estimates rest on (recorder/greenhouse_record/metering/constants.json), in words.
        zone_missing: whether a zone would narrow the grams. pue_assumed: whether nobody stated the building's factor.
    """

    stages: dict[str, StageCost]
    orchestration: SpanCost
    total: SpanCost
    nothing: SpanCost
    parts: dict[str, dict[str, Triple]]
    orchestration_parts: dict[str, Triple]
    sources: dict[str, str]
    shares: dict[str, float]
    measured: bool
    how: str
    constants: dict[str, str]
    counters: list[str]
    intensity: str
    location: str
    pue: Number
    pue_source: str
    pue_assumed: bool = False
    zone_missing: bool = False
    hardware: str
    embodied_source: str


BEYOND_LIMIT = "beyond the limit of their source"
IN_PART = "the rest of a file, beyond the limit of its source"
MOST_FINDINGS = 2
"""Of the bias audit in a sentence."""


class StageRecords(AccountRecord):
    """Everything that the stages recorded, without the cost.

    Attributes:
        documents: corpus stage -> counts. tokens: split -> counts, and `vocab_size`. models: folder -> facts.
        scores: those that stages measured, in the order of the stages. metrics: stage -> metrics.
        tables: CSV of the reports by `stage/name`, rows as text; empty where there is none.
        sources: source -> what ingest read, kept, dropped and put aside.
        mixing: what the mix stage recorded of its mitigations: `augment`, `group_weights`.
        overlap: held-out source -> share of its 13-grams that training text repeats.
        findings, losses: warnings of the bias stage, and of the filter: of what source it took much.
    """

    documents: dict[str, DocumentCounts]
    tokens: dict[str, Any]
    models: dict[str, ModelFacts]
    scores: list[Score]
    skipped: list[SkippedTask]
    metrics: dict[str, dict[str, Any]]
    tables: dict[str, list[dict[str, str]]] = Field(default={}, exclude=True)
    sources: dict[str, dict[str, Any]] = Field(default={}, exclude=True)
    mixing: dict[str, Any] = Field(default={}, exclude=True)
    overlap: dict[str, float] = Field(default={}, exclude=True)
    findings: list[str] = Field(default=[], exclude=True)
    losses: list[str] = Field(default=[], exclude=True)

    @property
    def mixture(self) -> DocumentCounts | None:
        """Counts of the text that models are trained on; None if there is none yet."""
        return self.documents.get("mix") or self.documents.get("bias")

    @property
    def licences(self) -> list[str]:
        """Licences of the text that models are trained on."""
        return sorted(self.mixture.licences) if self.mixture else []

    @property
    def personal(self) -> dict[str, int]:
        """Kind of personal data -> finds redacted."""
        counts: dict[str, int] = {}
        for row in self.tables.get("filter/personal", []):
            counts[row["kind"]] = counts.get(row["kind"], 0) + int(row["found"])
        return counts

    @property
    def left_out(self) -> dict[str, int]:
        """Reason -> files of all sources that ingest did not read whole; what most bytes were lost by comes first."""
        reasons, sizes = Counter[str](), Counter[str]()
        for row in self.sources.values():
            reasons.update(row.get("files_skipped", {}))
            reasons.update({BEYOND_LIMIT: row.get("files_not_read", 0), IN_PART: row.get("files_in_part", 0)})
            sizes.update(row.get("bytes_skipped", {}))
        ordered = sorted(reasons.items(), key=lambda item: (-sizes[item[0]], -item[1], item[0]))
        return {reason: files for reason, files in ordered if files}

    @property
    def left_out_bytes(self) -> int:
        """Bytes of these files, without those beyond a source's limit."""
        return sum(sum(row.get("bytes_skipped", {}).values()) for row in self.sources.values())

    @property
    def unjudged(self) -> str:
        """Documents for which toxicity and mentions of groups are not judged, for both know English; empty if none."""
        metrics = self.metrics.get("bias", {})
        unjudged, of = (int(metrics.get(f"documents_{name}", 0)) for name in ("unjudged", "in"))
        return f"not judged: language: {unjudged:,} of {of:,} documents" if unjudged else ""

    @property
    def mostly_unjudged(self) -> bool:
        """Whether more than half of the documents are not judged."""
        metrics = self.metrics.get("bias", {})
        return 2 * metrics.get("documents_unjudged", 0) > metrics.get("documents_in", 0)

    @property
    def audit(self) -> str:
        """What the bias audit found and what share of the text on groups it could not test; "" if it did not run."""
        metrics = self.metrics.get("bias", {})
        if "untested_share" not in metrics:
            return ""
        more = len(self.findings) - MOST_FINDINGS
        text = "; ".join([*self.findings[:MOST_FINDINGS], *([f"{more} more"] if more > 0 else [])]) or "no finding"
        share = f"{metrics['untested_share']:.0%}"
        return f"{text}; of {share} of the sentences that mention a group no word could be tested"

    @property
    def mentions(self) -> dict[str, tuple[int, int]]:
        """Group -> documents that mention it before and after the bias filter, all sources together."""
        by_group: dict[str, tuple[int, int]] = {}
        for row in self.tables.get("bias/mentions", []):
            before, after = by_group.get(row["group"], (0, 0))
            by_group[row["group"]] = (before + int(row["documents"]), after + int(row["documents_kept"]))
        return {group: counts for group, counts in by_group.items() if counts[0]}


class Summary(StageRecords):
    """Records and cost of a project: reports/summary.json.

    Attributes:
        project: cost of every run in the ledger (`project_total`).
        forecasts: every checked forecast and the actual values.
        headline: metric -> value, for MLflow.
    """

    model_name: str
    description: str
    cost: Cost
    project: dict[str, Any]
    forecasts: list[dict[str, Any]]
    headline: dict[str, Number] = {}

    def as_json(self) -> dict[str, Any]:
        """The layout of reports/summary.json."""
        return self.model_dump(by_alias=True, exclude_unset=True)
