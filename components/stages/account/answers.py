"""The five answers of a model, as one typed object: its data, cost, quality, how to rebuild it, how to load it.

Whatever shows a model (`greenhouse card`, the report's head, MLflow's descriptions, model cards) renders this
object. A fact that nobody recorded is `NotKnown` with the reason, never left out.
"""

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, computed_field, model_serializer

from components.scores import Score
from components.stages.account.types import AccountRecord, ModelFacts, Number, Triple


class NotKnown(AccountRecord):
    """The answer where nothing was recorded.

    Attributes:
        not_known: the reason, in one sentence. is_none: whether it is recorded that there is none.
    """

    not_known: str
    is_none: bool = False


class Removed(AccountRecord):
    """Documents that one rule of a stage removed; of a group of people, those that mention it (`rule` names it).

    Attributes:
        of: documents the rule was applied to. removal_ratio: how often documents of the group go, relative to like
            documents that do not mention it; with its 95 % interval, None where there is nothing to compare with.
        too_few: of a group, whether so few documents mention it that they were not compared. note: why its ratio tells
            nothing; empty if it does.
    """

    stage: str
    rule: str
    documents: int
    of: int
    removal_ratio: float | None = None
    low: float | None = None
    high: float | None = None
    too_few: bool = False
    note: str = ""


class Attribution(AccountRecord):
    """Documents of one source, version and licence: what an attribution has to name.

    Attributes:
        licence: SPDX expression. licence_from: where the source states it.
        location: where in the source, as far as it is the same for all.
        works: groups of documents (packages, works, files), the first `MAX_WORKS`; `num_works` counts all.
    """

    source: str
    version: str
    licence: str
    licence_from: str
    location: str
    documents: int
    works: list[str]
    num_works: int


class DataAnswer(AccountRecord):
    """Training text of a model.

    Attributes:
        documents, num_bytes: text of the sources after all filters, each document once.
        generated: documents that the mix stage made (curriculum, canaries). mixture: all that was trained on, repeats
            and generated ones included.
        sources, licences: documents by name, without generated ones. languages: of a sample, each with at least 1% of
            what has one; ISO 639.
        left_out: files of the sources that were not read, by reason, the most bytes first. left_out_bytes: of them all,
            without those beyond a source's limit.
        removed: by rule, of every stage. groups: who is mentioned in what the bias stage removed. audit: its findings.
        unjudged: of how many documents that is not known, for their language; empty if of none.
        num_tokens: of the training split. tokens_seen: those that pretraining took, repeats included; None if unknown.
        attribution: rows of ATTRIBUTION.md.
    """

    documents: int
    num_bytes: int
    mixture: int
    generated: int
    languages: list[str] = Field(default_factory=list)
    sources: dict[str, int]
    licences: dict[str, int]
    left_out: dict[str, int]
    left_out_bytes: int
    removed: list[Removed]
    quarantined: int
    heldout: int
    groups: list[Removed] | NotKnown
    audit: str = ""
    unjudged: str = ""
    num_tokens: int | None
    tokens_seen: int | None
    attribution: list[Attribution] | NotKnown


class Forecast(AccountRecord):
    """Sum of the forecasts of the stages that had one, and what just these stages then took; kWh, mid."""

    stages: list[str]
    kwh: float
    actual_kwh: float


class CostAnswer(AccountRecord):
    """Cost of a model: of all stages behind it, runs that failed, were stopped or resumed included.

    Attributes:
        kwh, grams, embodied_grams: low, mid, high. own_kwh, own_grams: of the model's own stage alone.
        attempts: runs that ended early on the way; attempts_kwh is part of kwh.
        seconds: of the completed runs and the attempts. cpu_s: processor seconds.
        stages: those counted. missing: stages behind the model without a record in the ledger read.
        how: how the energy was obtained; `measured` if all of it was.
    """

    kwh: Triple
    grams: Triple
    embodied_grams: Triple
    own_kwh: Triple
    own_grams: Triple
    own_seconds: Number
    seconds: Number
    cpu_s: Number
    attempts: int
    attempts_kwh: Triple
    forecast: Forecast | NotKnown
    stages: list[str]
    missing: list[str]
    measured: bool
    how: str
    intensity: str
    location: str
    hardware: str


class Change(AccountRecord):
    """A score of the champion and of this model on the items both answered; improvement > 0 is better.

    Attributes:
        significant: whether the two files differ in it on these texts.
        by_settings: whether their settings do, over training seeds too.
    """

    name: str
    champion: float
    this: float
    improvement: float
    low: float | None
    high: float | None
    significant: bool
    by_settings: bool = False


class AgainstChampion(AccountRecord):
    """Comparison with the registered model that held the alias `champion` then; no changes if it is this model.

    Attributes:
        is_first: whether it was the first of its name, which no gate let pass: there was nothing to compare it with.
    """

    champion: str
    is_this: bool
    compared: str
    is_first: bool = False
    changes: list[Change] = Field(default_factory=list)


class QualityAnswer(AccountRecord):
    """Scores of a model, its own first, then those of the base model it was tuned from.

    Attributes:
        scored_earlier: of these two, those of which evaluate scored earlier weights: its scores of them are left out.
    """

    scores: list[Score]
    skipped: dict[str, str]
    champion: AgainstChampion | NotKnown
    scored_earlier: list[str] = Field(default_factory=list)


class Verification(AccountRecord):
    """The last rebuild of just these bytes by `greenhouse verify`: `identical`, or the first difference."""

    result: str
    at: str
    processor: str


class RebuildAnswer(AccountRecord):
    """What a rebuild starts from.

    Attributes:
        commit: git commit; `+changes` if tracked files differed from it.
        dvc_lock: hash of the entries of dvc.lock for the stages behind the model. model: DVC's hash of its folder.
        experiment: the DVC experiment that keeps code and parameters, whatever the commit lacks; "" if none does.
        lacking: of a model of another trainer, why its commit alone does not make it again; "" if it does.
    """

    commit: str | NotKnown
    dvc_lock: str | NotKnown
    model: str | NotKnown
    verified: Verification | NotKnown
    command: str
    experiment: str = ""
    lacking: str = ""

    @model_serializer(mode="wrap")
    def _without_nothing(self, written: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Fields, without a `lacking` that says nothing: folders that were signed before have none."""
        return {name: value for name, value in written(self).items() if value or name != "lacking"}


NEEDED = {
    "Transformers": "from transformers import pipeline",
    "MLflow": "import mlflow",
    "PEFT": "from peft import AutoPeftModel",
}
"""Tool -> what Python imports of it."""


class LoadAnswer(AccountRecord):
    """How Python loads the model: a call of a tool; `first` is the command that brings its bytes, if they are away.

    Of a model of another trainer whose tool is not known the tool is empty, and the call says so. `address`: of MLflow,
    for a line before the call.
    """

    tool: Literal["Transformers", "MLflow", "PEFT", ""]
    call: str
    first: str = ""
    address: str = ""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def lines(self) -> list[str]:
        """Lines of Python."""
        where = [f'mlflow.set_tracking_uri("{self.address}")'] if self.address else []
        return [NEEDED[self.tool], *where, f"model = {self.call}"] if self.tool else [self.call]


class ModelAnswers(AccountRecord):
    """A model and its five answers.

    Attributes:
        model: folder below models/. state, kind: where it was found (workspace, revision, experiment, run).
        title, description, licence: from `account` in params.yaml; licence is an SPDX id or NotKnown.
        base: the model it was tuned from, by its folder below models/, or the name of a folder made elsewhere; "" for a
            pretrained one. stages: those of this pipeline behind it, in order; cards of before have none.
        facts: its shape and training. limits: what the figures cannot show.
        own_rows: names of the files it was tuned on that no stage has read.
        withdrawn: since when and why it must not be used, as the checkout's list has it; "" if it may be.
        example: `prompt` and the `answer` that the model wrote to it, of one that was tuned to chat.
    """

    model: str
    state: str
    kind: str
    title: str
    description: str
    licence: str | NotKnown
    base: str
    stages: list[str] = Field(default_factory=list)
    facts: ModelFacts
    data: DataAnswer | NotKnown
    cost: CostAnswer | NotKnown
    quality: QualityAnswer | NotKnown
    rebuild: RebuildAnswer
    load: LoadAnswer
    limits: list[str]
    own_rows: list[str] = Field(default_factory=list)
    example: dict[str, str] = Field(default_factory=dict)
    withdrawn: str = ""


class ModelOrigin(AccountRecord):
    """What only git, DVC and MLflow know of a model; the account stage is given it by its flow.

    Attributes:
        scored_earlier: as in `QualityAnswer`.
    """

    state: str = "workspace"
    kind: str = "workspace"
    rebuild: RebuildAnswer
    load: LoadAnswer
    champion: AgainstChampion | NotKnown
    scored_earlier: list[str] = Field(default_factory=list)
