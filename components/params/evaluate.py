"""`evaluate` in params.yaml: how much is asked of the models, and how sure the answers are."""

from typing import Annotated

from pydantic import Field

from components.params.section import Section, matching

TASK = matching(
    r"[^@]+\.ya?ml|[\w.\-]+@[0-9a-f]{40}",
    "a task is a YAML file below filter.decontaminate.items, or a name of lm-evaluation-harness with the commit of its "
    "data (`arc_easy@` and 40 digits of 0-9a-f)",
)


class Evaluate(Section):
    """Tasks that score the models, each score beside the best trivial rule on the same items."""

    heldout_kilobytes: float = Field(default=120.0, gt=0.0)
    """Held-out text scored per source at most (10^3 bytes)."""
    items: int = Field(default=120, ge=20, le=1000)
    """Items per probe and condition."""
    shots: list[Annotated[int, Field(ge=0, le=22)]] = [0, 1, 2, 4, 8]
    """Example counts of the few-shot curve."""
    tasks: list[Annotated[str, *TASK]] = []
    """Tasks of lm-evaluation-harness: YAML files below `filter.decontaminate.items`, or `name@<commit of its data>`."""
    seed: int = 1
    """Seed of item generation and resampling."""
