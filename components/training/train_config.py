"""Configuration and result of a training run, shared by the loop and its progress reports."""

from dataclasses import dataclass, field

from components import params as schema


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one training run.

    Attributes:
        steps: optimizer steps.
        optimizer: learning rates and schedule.
        micro_batch: examples per forward pass; None for all of a batch at once.
        context: tokens of an example where batches may have shorter ones, as many more of which share a pass; else 0.
        checkpoint_every, keep: steps between checkpoints, and number of the newest that are kept.
        keep_every: checkpoints of multiples of it are kept too; 0 for none.
        keep_best: the checkpoint with the lowest held-out loss is kept too; each such loss is a time to save.
        eval_every: steps between calls of `evaluate` (the last step is always evaluated); 0 for the last alone.
        max_rollbacks: bad batches passed over before the run gives up.
        spike_nats: a loss is bad that is at least so far above the recent ones; infinity where outliers are data.
        bytes_per_token: to show bits per byte while training; None where that means nothing.
        flops_per_token: to show the share of the machine's peak in use; 0 leaves it out.
        name: of the section in params.yaml, for messages.
        remedy: what to do when too many losses were bad; empty: what pretraining can set.
        smaller: the same where memory is short.
    """

    steps: int
    optimizer: schema.Optimizer
    micro_batch: int | None = None
    context: int = 0
    checkpoint_every: int = 50
    keep: int = 2
    keep_every: int = 0
    keep_best: bool = False
    eval_every: int = 0
    max_rollbacks: int = 3
    spike_nats: float = 2.0
    bytes_per_token: float | None = None
    flops_per_token: int = 0
    name: str = "pretrain"
    remedy: str = ""
    smaller: str = ""


@dataclass
class TrainResult:
    """Losses and evaluations of a run; the same for the same inputs.

    Attributes:
        losses: mean loss in nats per target, one per step.
        grad_norms: global gradient norm before clipping, one per step.
        evals: what `evaluate` returned, with its `step`.
        skipped: numbers of the batches passed over after a bad loss.
        num_targets: targets trained on.
    """

    losses: list[float] = field(default_factory=list)
    grad_norms: list[float] = field(default_factory=list)
    evals: list[dict[str, float]] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)
    num_targets: int = 0
