"""Another number of pretraining steps, and the settings that change with it."""

from typing import Any

from components.params import Pretrain

Change = tuple[Any, str]
"""A new value, and the reason for it."""


def in_proportion(section: str, shipped: Pretrain, steps: int, why: str) -> dict[str, Change]:
    """Another number of steps, and evaluations and checkpoints as often in the run as before."""
    share = steps / shipped.steps
    return {
        f"{section}.steps": (steps, why),
        f"{section}.eval_every": (max(1, round(shipped.eval_every * share)), "in proportion"),
        f"{section}.checkpoint_every": (max(1, round(shipped.checkpoint_every * share)), "in proportion"),
    }
