"""`finetune` in params.yaml: the task and length of both branches."""

from typing import Literal

from pydantic import Field

from components.params.section import Advanced, Section


class Finetune(Section):
    """Fine-tuning of one branch on pairs drawn from the corpus."""

    task: str = "auto"
    """Which task: `auto` takes the first that the corpus can feed, and says which it skipped and why."""
    steps: int = Field(default=100, ge=1)
    """Optimizer steps."""
    batch: int = Field(default=16, ge=1)
    """Examples per step."""
    context: int = Field(default=256, ge=16)
    """Tokens per example at most."""
    max_pairs: int = Field(default=4000, ge=10)
    """Most training examples drawn from the corpus."""
    learning_rate: float = Field(default=1e-3, gt=0.0)
    """Peak learning rate (AdamW)."""
    lora_rank: int = Field(default=0, ge=0)
    """Rank of LoRA adapters; 0 trains all weights. Adapters are merged into the saved model."""
    seed: Advanced[int] = 1
    """Seed of sampling and order."""
    checkpoint_every: Advanced[int] = Field(default=50, ge=1)
    """Steps between checkpoints."""


class Instruct(Finetune):
    """Instruction tuning of the causal model on real pairs, such as name and signature -> first sentence."""

    task: Literal["auto", "describe", "heading", "continue"] = "auto"
    """Which task: `auto` takes the first that the corpus can feed, and says which it skipped and why."""


class Classify(Finetune):
    """Classification with the masked model, such as which source a passage is from."""

    task: Literal["auto", "source", "work", "order"] = "auto"
    """Which task: `auto` takes the first that the corpus can feed, and says which it skipped and why."""
    max_pairs: int = Field(default=64, ge=10)
    """Most training examples drawn from the corpus. Few, so that it shows what pretraining is worth."""


class FinetuneBranches(Section):
    """The two fine-tuning branches."""

    instruct: Instruct = Instruct()
    """Instruction tuning of the causal model on real pairs (name and signature -> first sentence)."""
    classify: Classify = Classify(context=96)
    """Classification with the masked model (which source a passage is from)."""
