"""`finetune` in params.yaml: the task and length of each branch, and which branches are further tunings."""

from typing import Literal

from pydantic import Field, model_validator

from components.core.errors import UserError
from components.params.section import Section

Branch = Literal["instruct", "classify", "prefer"]
"""Names of the branches, the fields of `FinetuneBranches`."""


class Finetune(Section):
    """Fine-tuning of one branch on pairs drawn from the corpus, or on rows of one's own."""

    data: str = "data/bias/train"
    """A corpus that examples are drawn from, or your own rows: a json, jsonl, csv or parquet file, or a folder."""
    columns: dict[str, str] = {}
    """Role -> column of your own rows, such as {text: review, label: sentiment}; empty: guessed."""
    base: str = "models/pretrain/causal"
    """Folder of the model that is tuned: the pipeline's own, or one of `transformers` (docs/guide.md)."""
    task: str = "auto"
    """Which task: `auto` takes the first that the corpus can feed, and says which it skipped and why."""
    steps: int = Field(default=100, ge=1)
    """Optimizer steps; instruct has its own, 2000."""
    batch: int = Field(default=16, ge=1)
    """Examples per step."""
    context: int = Field(default=256, ge=16)
    """Tokens per example at most."""
    max_pairs: int = Field(default=4000, ge=10)
    """Most training examples, of your own rows or drawn from a corpus."""
    learning_rate: float = Field(default=1e-3, gt=0.0)
    """Peak learning rate (AdamW)."""
    lora_rank: int = Field(default=0, ge=0)
    """Rank of LoRA; 0 trains all weights. The saved model has it merged in, its folder `adapter` holds it alone."""
    lora_alpha: float = Field(default=0.0, ge=0.0)
    """LoRA's change is multiplied by alpha / rank; 0: alpha is twice the rank."""
    lora_targets: Literal["all", "attention"] = "all"
    """Matrices of each block that LoRA changes: all, or those of attention."""
    seed: int = 1
    """Seed of sampling and order."""
    checkpoint_every: int = Field(default=50, ge=1)
    """Steps between checkpoints."""


class Instruct(Finetune):
    """Instruction tuning of the causal model on real pairs, such as name and signature -> first sentence."""

    steps: int = Field(default=2000, ge=1)
    """Optimizer steps."""
    task: Literal["auto", "describe", "heading", "continue"] = "auto"
    """Which task: `auto` takes the first that the corpus can feed, and says which it skipped and why."""


class Classify(Finetune):
    """Classification with the masked model, such as which source a passage is from."""

    base: str = "models/pretrain/masked"
    """Folder of the model that is tuned: the pipeline's own, or one of `transformers` (docs/guide.md)."""
    task: Literal["auto", "source", "work", "order"] = "auto"
    """Which task: `auto` takes the first that the corpus can feed, and says which it skipped and why."""
    max_pairs: int = Field(default=256, ge=10)
    """Most training examples, of your own rows or drawn from a corpus: few, to show what pretraining is worth."""


class Prefer(Finetune):
    """Preference tuning (DPO) of the instruction-tuned model on pairs of a chosen and a rejected answer."""

    data: str = ""
    """data/mix/train: right against wrong answers of its curriculum's tasks; or rows of prompt, chosen, rejected."""
    base: str = ""
    """Folder of the model that is tuned, models/finetune/instruct; empty: no preference tuning."""
    task: Literal["auto"] = "auto"
    """The data decides."""
    learning_rate: float = Field(default=1e-4, gt=0.0)
    """Peak learning rate (AdamW): a tenth of instruction tuning's, since the answers must stay likely."""
    beta: float = Field(default=0.1, gt=0.0)
    """How much a change of log-probability counts: small lets the model move far from the one it starts from."""

    @model_validator(mode="after")
    def _has_data(self) -> "Prefer":
        if bool(self.base) != bool(self.data):
            raise ValueError("base and data go together: `base: models/finetune/instruct`, `data: data/mix/train`")
        return self


class FinetuneBranches(Section):
    """The fine-tuning branches; dvc.yaml makes a stage of each that stands in params.yaml."""

    instruct: Instruct = Instruct()
    """Instruction tuning of the causal model on real pairs (name and signature -> first sentence)."""
    classify: Classify = Classify()
    """Classification with the masked model (which source a passage is from)."""
    prefer: Prefer = Prefer()
    """Preference tuning (DPO): a stage if params.yaml has its `base` and `data`, as presets/cpu-40min.yaml does."""

    def stages(self) -> dict[str, Finetune]:
        """The branches that are stages, by name: one of `FURTHER` only where it has a base."""
        return {name: one for name in type(self).model_fields if (one := getattr(self, name)).base}

    def raise_if_off(self, branch: str) -> None:
        """Refuse a branch that is no stage, with a `UserError`."""
        if branch not in self.stages():
            raise UserError(
                f"finetune@{branch} is off: params.yaml switches it on by finetune.{branch}.base (such as "
                f"models/finetune/instruct) and finetune.{branch}.data (data/mix/train, or rows of your own, which "
                f"`greenhouse edit rows ROWS --branch {branch}` writes there)"
            )


FURTHER: tuple[Branch, ...] = ("prefer",)
"""Names of the branches that tune a tuned causal model further; every list of models takes them from here."""
