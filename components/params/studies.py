"""Settings of `greenhouse study`: of the scaling law, the trial of mitigation, and the worth of labels."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from components.params.pretrain import ModelShape, Optimizer
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


class Mitigate(Section):
    """Pretraining with counterfactual copies, without, and with random copies of equal size: same seeds and tokens."""

    seeds: int = Field(default=5, ge=2, le=50)
    """Runs of each arm; they differ in initialisation, data order and draw of the mixture. No interval below five."""
    model: ModelShape = ModelShape(size=2, width=128)
    """Shape of the networks."""
    steps: int = Field(default=200, ge=1)
    """Optimizer steps of each run."""
    batch: int = Field(default=16, ge=1)
    """Sequences per step."""
    context: int = Field(default=128, ge=16)
    """Tokens per sequence."""
    heldout_kilobytes: float = Field(default=60.0, gt=0.0)
    """Held-out text scored per source (10^3 bytes)."""


REFERENCE = 64
"""Labels at which the pretrained model sets the accuracy that the others must reach."""


class LabelEfficiency(Section):
    """Accuracy by number of labels: pretrained, from scratch, rules; masked or causal; LoRA or all weights."""

    labels: list[int] = [16, 64, 256, 1024, 4096]
    """Numbers of training labels, rising, with 64 and one above it: the figure compares with pretraining at 64."""
    seeds: int = Field(default=5, ge=2, le=50)
    """Trainings per point; they differ in the drawn labels, the head, their order, and random weights."""
    heldout_items: int = Field(default=1000, ge=10)
    """Most held-out examples judged."""
    lora_rank: int = Field(default=8, ge=1)
    """Rank of the LoRA arm."""

    @field_validator("labels")
    @classmethod
    def _rise_past_the_reference(cls, labels: list[int]) -> list[int]:
        if labels != sorted(set(labels)) or REFERENCE not in labels[:-1] or labels[0] < 2:
            raise ValueError(f"must rise, hold {REFERENCE} and something above it, such as [16, 64, 256]")
        return labels
