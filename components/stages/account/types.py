"""Types of the summary; dumped by alias and without unset fields, they are reports/summary.json."""

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
        taken: documents in (JSON: `in`).
        kept, dropped, quarantined, heldout: documents out; `kept_bytes` of text in the kept ones.
        rules, reasons: documents dropped by rule, quarantined by reason.
        sources, licences: counts of the kept documents by name.
        generated: those among them that mix made, by name.
    """

    taken: int = Field(alias="in")
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
        shares: of the mid energy: `memory`, and `constants` for all that no counter measured.
        constants: those that estimates rest on (components/carbon/constants.json), in words.
        zone_missing: whether a zone would narrow the grams. pue_assumed: whether nobody stated the building's factor.
    """

    stages: dict[str, StageCost]
    orchestration: SpanCost
    attempts: SpanCost
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
    intensity_short: str
    location: str
    pue: Number
    pue_source: str
    pue_assumed: bool = False
    zone_missing: bool = False
    hardware: str
    embodied_source: str


class StageRecords(AccountRecord):
    """Everything that the stages recorded, without the cost.

    Attributes:
        documents: corpus stage -> counts. tokens: split -> counts, and `vocab_size`. models: folder -> facts.
        scores: those that stages measured, in the order of the stages. metrics: stage -> metrics.
    """

    documents: dict[str, DocumentCounts]
    tokens: dict[str, Any]
    models: dict[str, ModelFacts]
    scores: list[Score]
    skipped: list[SkippedTask]
    metrics: dict[str, dict[str, Any]]

    @property
    def mixture(self) -> DocumentCounts | None:
        """Counts of the text that models are trained on; None if there is none yet."""
        return self.documents.get("mix") or self.documents.get("bias")


class Summary(StageRecords):
    """Records and cost of a project: reports/summary.json.

    Attributes:
        mitigation: verdict of the last trial of counterfactual augmentation, or that none was run.
        project: cost of every run in the ledger (`project_total`).
        forecasts: every checked forecast and the actual values.
        headline: metric -> value, for MLflow.
    """

    model_name: str
    description: str
    mitigation: str
    cost: Cost
    project: dict[str, Any]
    forecasts: list[dict[str, Any]]
    headline: dict[str, Number] = {}

    def as_json(self) -> dict[str, Any]:
        """The layout of reports/summary.json."""
        return self.model_dump(by_alias=True, exclude_unset=True)
