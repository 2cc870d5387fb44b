"""Another number of pretraining steps, and the settings that change with it."""

from components.params import Pretrain


def in_proportion(shipped: Pretrain, steps: int) -> dict[str, int]:
    """Another number of steps, and evaluations and checkpoints as often in the run as before; keys of the section."""
    share = steps / shipped.steps
    return {
        "steps": steps,
        "eval_every": max(1, round(shipped.eval_every * share)),
        "checkpoint_every": max(1, round(shipped.checkpoint_every * share)),
    }
