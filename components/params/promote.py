"""`promote` in params.yaml: what the gate asks of a model; settings of `greenhouse promote` and `study seeds`."""

from typing import Annotated

from pydantic import Field, model_validator

from components.params.finetune import FinetuneBranches
from components.params.pretrain import PretrainBranches
from components.params.section import Section

KINDS = (*PretrainBranches.model_fields, *FinetuneBranches.model_fields)
"""Kinds of model."""
Margin = Annotated[float, Field(ge=0.0)]


class GateRule(Section):
    """What the gate asks of one registered model; metrics are `task/metric` of its scored items.

    A guard may name one condition of them, `task/metric/condition`. Where a score of the evaluation has the guard's
    name, that score is judged: `few_shot/accuracy` is the one after the most examples of the curve.
    """

    primary: str
    """Must improve."""
    guards: dict[str, Margin] = {}
    """Must not be worse than this, in the metric's unit; a margin that seeds alone may move leaves all inconclusive."""
    limits: dict[str, float] = {}
    """Must not exceed this, whatever the champion does."""


RULES = {
    "causal": GateRule(
        primary="bits_per_byte/bits_per_byte",
        guards={
            "minimal_pairs/accuracy": 0.06,
            "few_shot/accuracy": 0.1,
            "recall/accuracy": 0.15,
            "open_book/accuracy/record open": 0.15,
            "chain_of_thought/accuracy/steps": 0.25,
        },
        limits={"calibration/ece": 0.15, "memorisation/extracted": 0.5},
    ),
    "masked": GateRule(primary="masked/nats_per_token", guards={"masked/accuracy": 0.02}),
    "instruct": GateRule(primary="answers/bits_per_byte"),
    "classify": GateRule(primary="classify/accuracy"),
    "prefer": GateRule(primary="answers/preferred_bits_per_byte"),
}


class Promote(Section):
    """What the gate asks of new models."""

    rules: dict[str, GateRule] = RULES
    """By kind of model: the primary metric, the guards with their margins, the limits."""

    @model_validator(mode="after")
    def _kinds_exist(self) -> "Promote":
        if unknown := [kind for kind in self.rules if kind not in KINDS]:
            raise ValueError(f"rules.{unknown[0]}: no such kind of model (there is: {', '.join(KINDS)})")
        return self


class Promotion(Section):
    """Ask the gate whether a challenger replaces the champion; each registered model by itself."""

    challenger: str = "workspace"
    """Snapshot that would replace the champions: `workspace`, a run, an experiment, a revision."""
    override: dict[str, str] = {}
    """Kinds of model (causal, instruct, ...) to promote whatever the gate says: {kind: reason}; both are recorded."""

    @model_validator(mode="after")
    def _overrides_have_kinds_and_reasons(self) -> "Promotion":
        for kind, reason in self.override.items():
            if kind not in KINDS:
                raise ValueError(f"override.{kind}: no such kind of model (there is: {', '.join(KINDS)})")
            if not reason.strip():
                raise ValueError(f"override.{kind}: give the reason, it is recorded with the model")
        return self


class Seeds(Section):
    """Train again with other pretraining, fine-tuning and mixing seeds, to learn how far a seed alone moves a score."""

    runs: int = Field(default=3, ge=1, le=50)
    """Trainings with other seeds, beside the workspace's own."""


class DataChoices(Section):
    """Train with other settings of the data, each with several seeds, and say which settings make better models."""

    arms: list[str] = []
    """Choices, KEY=VALUE each: a key of dedup, filter, bias, mix or tokenize."""
    seeds: int = Field(default=3, ge=2, le=50)
    """Trainings of each arm, and of the settings as they are."""
