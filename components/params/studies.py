"""Settings of `greenhouse study scaling`: the sweep, the law fitted to it, and the runs that check it."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from components.params.pretrain import Optimizer
from components.params.section import Section


class Scaling(Section):
    """A sweep of small models, the law fitted to it, and larger runs that check what it predicts."""

    objective: Literal["causal", "masked"] = "causal"
    """What the models are trained for. Masked: losses are bits per byte of hidden tokens."""
    vocab_size: int = Field(default=512, ge=300)
    """Tokens in the sweep's own vocabulary: small, so that the head does not outweigh the blocks."""
    train_megabytes: float = Field(default=5.0, gt=0.0)
    """Text its BPE is trained on at most (10^6 bytes)."""
    depth: int = Field(default=2, ge=1)
    """Blocks of every network; sizes differ in width."""
    widths: list[Annotated[int, Field(ge=8)]] = Field(default=[16, 32, 48, 64, 96, 128], min_length=3)
    """Residual widths. They must lie on both sides of the best one, or there is no exponent."""
    budgets: list[Annotated[float, Field(gt=0.0)]] = Field(default=[2.5e11, 5e11, 1e12, 2e12], min_length=2)
    """Floating-point operations of a run: each budget is spent at every width."""
    steps: tuple[int, int] = (200, 3600)
    """Fewest and most steps of a run: a width that needs others for a budget is left out there."""
    checks: list[Annotated[float, Field(gt=1.0)]] = [3.0, 10.0]
    """Larger runs that check the law, as multiples of the largest budget."""
    seeds: int = Field(default=3, ge=2)  # of one run an error has no standard error
    """Seeds of the middle width at each budget but the largest, and of each larger run that checks the law."""
    batch: int = Field(default=8, ge=1)
    """Sequences per step."""
    context: int = Field(default=128, ge=16)
    """Tokens per sequence."""
    optimizer: Optimizer = Optimizer(embedding_lr=0.02, schedule="linear")
    """Optimizer and schedule, the same at every width."""
    bootstrap: int = Field(default=200, ge=20)
    """Bootstrap resamples per interval."""

    @model_validator(mode="after")
    def _range_is_one(self) -> "Scaling":
        if not 1 <= self.steps[0] <= self.steps[1]:
            raise ValueError(f"steps {list(self.steps)}: the first must be at least 1 and at most the second")
        return self
