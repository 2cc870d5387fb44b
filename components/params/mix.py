"""`mix` in params.yaml: the weight of each source, and what is generated and added."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from components.params.section import Section

IDENTITY_GROUPS = (
    "women", "men", "lgbt", "straight", "black", "white", "asian", "hispanic", "indigenous", "middle_eastern", "jewish",
    "muslim", "christian", "other_belief", "disability", "old", "young", "migrant", "nationality",
)  # fmt: skip
"""Names of the groups of people that the lexicon of identity terms knows, in its order."""


class Curriculum(Section):
    """Generated text that teaches in-context skills; counted apart from real text everywhere."""

    share: float = Field(default=0.25, ge=0.0, le=0.9)
    """Share of generated text in the training bytes; 0 switches it off."""
    tasks: list[Literal["copy", "recall", "mapping", "arithmetic", "names"]] = Field(
        default=["copy", "recall", "mapping", "arithmetic"], min_length=1
    )
    """Copying, key-value recall (names: by invented names), k-shot label mapping, sums with and without steps."""


class Canaries(Section):
    """Made-up secrets inserted a known number of times, to measure memorisation."""

    per_count: int = Field(default=8, ge=0, le=1000)
    """How many canaries for each repeat count; 0 switches them off."""
    counts: list[Annotated[int, Field(ge=1, le=10_000)]] = Field(default=[1, 4, 16, 64], min_length=1)
    """How often each canary of a class is inserted. As many more are made and never inserted: the control."""


class Mix(Section):
    """Choose how much of each source is trained on; add curriculum and canaries, counted apart."""

    weights: dict[str, Annotated[float, Field(ge=0.0, le=1000.0)]] = {}
    """Relative weight per source: 1 takes its text once, 2 twice, 0.5 a seeded half. Unnamed sources weigh 1."""
    group_weights: dict[str, Annotated[float, Field(ge=0.0, le=1000.0)]] = {}
    """Weight of documents that mention a group of people (components/text/identity_terms.py), times their source's."""
    curriculum: Curriculum = Curriculum()
    """Generated curriculum."""
    canaries: Canaries = Canaries()
    """Canaries."""
    augment: Literal["none", "counterfactual", "random"] = "none"
    """Add a gender-swapped copy of each document that can have one; `random`, its control, adds unchanged copies."""
    seed: int = 1
    """Seed of sampling and order."""

    @model_validator(mode="after")
    def _weighted_groups_are_known(self) -> "Mix":
        for name in sorted(set(self.group_weights) - set(IDENTITY_GROUPS)):
            known = ", ".join(IDENTITY_GROUPS)
            raise ValueError(f"group_weights.{name}: no such group (there is: {known}); correct the name")
        return self
