"""Settings of `greenhouse study labels`: what pretraining is worth, counted in labels."""

from pydantic import Field, field_validator

from components.params.section import Section

REFERENCE = 64
"""Labels at which the pretrained model sets the accuracy that the others must reach."""


class LabelEfficiency(Section):
    """Accuracy by number of labels: pretrained, from scratch, TF-IDF; masked or causal; LoRA or all weights."""

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
