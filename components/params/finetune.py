"""`finetune` in params.yaml: the task and length of both branches."""

from typing import Literal

from pydantic import Field, field_validator

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
    """Rank of LoRA; 0 trains all weights. The saved model has it merged in, its folder `adapter` holds it alone."""
    lora_alpha: Advanced[float] = Field(default=0.0, ge=0.0)
    """LoRA's change is multiplied by alpha / rank; 0: alpha is twice the rank."""
    lora_targets: Advanced[Literal["all", "attention"]] = "all"
    """Matrices of each block that LoRA changes: all, or those of attention."""
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


class Prefer(Finetune):
    """Preference tuning of the instruction-tuned model on pairs of a chosen and a rejected answer."""

    task: Advanced[Literal["auto", "curriculum"]] = "auto"
    """`curriculum`: right against wrong answers of mix.curriculum's tasks; `auto` is the same."""
    batch: Advanced[int] = Field(default=16, ge=1)
    """Pairs per step."""
    context: Advanced[int] = Field(default=256, ge=16)
    """Tokens per example at most."""
    max_pairs: Advanced[int] = Field(default=4000, ge=10)
    """Most training pairs."""
    learning_rate: float = Field(default=1e-4, gt=0.0)
    """Peak learning rate (AdamW): a tenth of instruction tuning's, since the answers must stay likely."""
    lora_rank: Advanced[int] = Field(default=0, ge=0)
    """Rank of LoRA; 0 trains all weights. The saved model has it merged in, its folder `adapter` holds it alone."""
    beta: Advanced[float] = Field(default=0.1, gt=0.0)
    """How much a change of log-probability counts: small lets the model move far from the one it starts from."""


BASES = {"instruct": "models/pretrain/causal", "classify": "models/pretrain/masked"}
"""Branches of the demo and the models they start from."""


class FinetuneBranches(Section):
    """The fine-tuning branches."""

    branches: dict[Literal["instruct", "classify", "prefer"], str] = BASES
    """Which branches run, and the model folder each starts from; `prefer` is off until listed."""
    instruct: Instruct = Instruct()
    """Instruction tuning of the causal model on real pairs (name and signature -> first sentence)."""
    classify: Classify = Classify(context=96)
    """Classification with the masked model (which source a passage is from)."""

    prefer: Prefer = Prefer()
    """Preference tuning of the instruction-tuned model (DPO), where `branches` lists it."""

    @field_validator("branches")
    @classmethod
    def _both_are_listed(cls, branches: dict[str, str]) -> dict[str, str]:
        if missing := [branch for branch in BASES if branch not in branches]:
            raise ValueError(f"lacks {missing[0]}, which the evaluation reads; add `{missing[0]}: {BASES[missing[0]]}`")
        return branches
