"""The learning rate over time, as a factor of its peak: a function of the step alone, so resuming needs no state.

And how much held-out text pretraining scores on its way and at its end.
"""

import math

from components.params import Optimizer

LIVE_WINDOWS = 32
"""Held-out windows scored while training: enough for a curve."""
FINAL_WINDOWS = 256
"""Held-out windows scored at the end."""


def rate(step: int, steps: int, optimizer: Optimizer) -> float:
    """The factor, in (0, 1], by which peak learning rates are multiplied at `step` (from 0) of `steps`.

    All begin with a linear warm-up. Then `wsd` (warmup-stable-decay: Hu et al. 2024, arXiv:2404.06395) stays at the
    peak and falls linearly to zero over the last `decay` share; `linear` falls to zero from the warm-up on
    (Defazio et al. 2023, arXiv:2310.07831); `cosine` falls to a tenth (Hoffmann et al. 2022, arXiv:2203.15556).
    """
    warmup = math.ceil(optimizer.warmup * steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    left = (steps - step) / max(1, steps - warmup)  # 1 after the warm-up; above 0 at the last step
    if optimizer.schedule == "cosine":
        return 0.1 + 0.45 * (1 + math.cos(math.pi * (1 - left)))
    if optimizer.schedule == "linear":
        return left
    decay = max(1, round(optimizer.decay * steps))
    return min(1.0, (steps - step) / decay)
