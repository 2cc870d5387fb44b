"""`pretrain` in params.yaml: shape, optimizer, length and checkpoints of both objectives."""

from typing import Literal, Self

from pydantic import Field, model_validator

from components.params.section import Fraction, Section


class ModelShape(Section):
    """One dial, `size`; what is null is derived from it (see components/model/shape.py)."""

    size: int = Field(default=4, ge=1, le=128)
    """Depth: the number of blocks. Width, heads and feed-forward width follow from it."""
    width: int | None = Field(default=None, ge=16)
    """Residual width; null derives it."""
    heads: int | None = Field(default=None, ge=1)
    """Query heads; null derives them."""
    kv_heads: int | None = Field(default=None, ge=1)
    """Key and value heads; must divide `heads`; null for as many as `heads`."""
    feed_forward: int | None = Field(default=None, ge=16)
    """Hidden width of the SwiGLU; null derives it."""
    tied: bool = True
    """Use the embedding table as output head."""


class Optimizer(Section):
    """Muon for the matrices of the blocks, AdamW for embeddings, head and gains."""

    name: Literal["muon", "adamw"] = "muon"
    """`muon` (with AdamW for the rest) or `adamw` for everything."""
    matrix_lr: float = Field(default=0.02, gt=0.0)
    """Peak learning rate of the matrices of the blocks; with `adamw` a tenth of Muon's is a good one."""
    embedding_lr: float = Field(default=0.01, gt=0.0)
    """Peak learning rate of embeddings and head (AdamW)."""
    momentum: float = Field(default=0.95, ge=0.0, lt=1.0)
    """Muon's momentum; less than the usual 0.95 pays in runs of a thousand steps, and is not shown to in long ones."""
    beta1: float = Field(default=0.9, ge=0.0, lt=1.0)
    """AdamW's first beta: its momentum, of which the same is true."""
    weight_decay: float = Field(default=0.0, ge=0.0)
    """Decoupled weight decay of the matrices."""
    grad_clip: float = Field(default=1.0, gt=0.0)
    """Largest global gradient norm."""
    schedule: Literal["wsd", "cosine", "linear"] = "wsd"
    """Learning rate over time: warmup-stable-decay, cosine, or linear to zero."""
    warmup: Fraction = 0.02
    """Share of the steps spent warming up."""
    decay: Fraction = 0.6
    """Share of the steps spent decaying (wsd only)."""

    @model_validator(mode="after")
    def _rises_before_it_falls(self) -> Self:
        if self.schedule == "wsd" and self.warmup + self.decay > 1:
            raise ValueError(
                f"warmup {self.warmup:g} and decay {self.decay:g} are shares of the steps, 1 at most together"
            )
        return self


class Pretrain(Section):
    """Self-supervised pretraining of one branch."""

    model: ModelShape = ModelShape()
    """Shape of the network."""
    steps: int = Field(default=300, ge=1)
    """Optimizer steps."""
    batch: int = Field(default=16, ge=1)
    """Sequences per step (all processes together)."""
    micro_batch: int | None = Field(default=None, ge=1)
    """Sequences per forward pass; null for the whole batch. Smaller needs less memory (gradients are accumulated)."""
    context: int = Field(default=256, ge=16)
    """Tokens per sequence."""
    length_warmup: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of the steps with shorter sequences of 128 tokens or more, as many more in a batch, the shortest first."""
    document_mask: bool = False
    """Keep attention inside each document of a packed sequence."""
    mask_rate: float = Field(default=0.3, gt=0.0, lt=1.0)
    """Share of tokens hidden (masked objective only)."""
    initial_scale: float = Field(default=1.0, gt=0.0)
    """Size of the blocks' initial matrices, 1 keeping that of a normed input; less pays in short runs alone."""
    optimizer: Optimizer = Optimizer()
    """Optimizer and schedule."""
    seed: int = 1
    """Seed of initialisation, data order and masks."""
    eval_every: int = Field(default=100, ge=1)
    """Steps between held-out losses."""
    checkpoint_every: int = Field(default=50, ge=1)
    """Steps between checkpoints."""
    keep_every: int = Field(default=0, ge=0)
    """Checkpoints of multiples of so many steps are kept in models/checkpoints too; 0 for none."""
    keep_best: bool = False
    """The checkpoint with the lowest held-out loss is kept too."""
    max_rollbacks: int = Field(default=3, ge=0)
    """Times a NaN or loss spike may be rolled back before the run stops with an error."""


_SHIPPED = Pretrain(
    model=ModelShape(size=2, width=128),
    steps=900,
    batch=8,
    eval_every=300,
    checkpoint_every=150,
    length_warmup=0.6,
    initial_scale=0.3,
    optimizer=Optimizer(embedding_lr=0.02, momentum=0.9, beta1=0.6, schedule="linear"),
)


class PretrainBranches(Section):
    """The two pretraining objectives, side by side on the same tokens."""

    causal: Pretrain = _SHIPPED.model_copy(update={"model": ModelShape(size=2, width=128, tied=False)})
    """Next-token prediction."""
    masked: Pretrain = _SHIPPED
    """Masked-word prediction."""
