"""Memory check before the first step, by a lower bound: a training that it refuses never fits.

Linux lends more memory than there is and kills who uses it, without a word; so what cannot fit is
named beforehand. The bound counts what every way of computing a step holds at once: weights,
gradients, the optimizer's state, and for each token of a forward pass what the backward pass needs
of each block. Real steps were seen to hold up to twice of it.
"""

from components.core.errors import UserError
from components.model.shape import Shape
from components.params import Numerics, Pretrain
from components.training.device_memory import bytes_of, gigabytes

FLOAT32 = 4
"""Bytes of a weight, a gradient, and each value of an optimizer's state."""


def refuse_what_cannot_fit(
    name: str, params: Pretrain, shape: Shape, numerics: Numerics, limit: int | None = None
) -> None:
    """Compare the least that training takes with what there is.

    Args:
        name: of the section in params.yaml.
        limit: bytes there are; None for those of the device.

    Raises `UserError`: naming the setting to lower, and to what.
    """
    limit = limit if limit is not None else bytes_of(numerics.device)
    share = limit // (numerics.processes if numerics.device == "cpu" else 1)
    state, sequence = state_bytes(params, shape), sequence_bytes(params, shape, numerics)
    per_process = -(-params.batch // numerics.processes)
    rows = min(params.micro_batch or per_process, per_process)
    if state + rows * sequence <= share:
        return
    most = (share - state) // sequence
    has = f"{gigabytes(share)} on {numerics.device}" + (" for each process" if share < limit else "")
    if most < 1:
        raise UserError(
            f"{name}: its weights, their optimizer and one sequence take at least {gigabytes(state + sequence)} and "
            f"there are {has}; set {name}.model.size or {name}.context lower"
        )
    raise UserError(
        f"{name}: {rows} sequences of {params.context} tokens at once take at least "
        f"{gigabytes(state + rows * sequence)} and there are {has}; "
        f"set {name}.micro_batch to {most} or lower (gradients add up to the same step)"
    )


def state_bytes(params: Pretrain, shape: Shape) -> int:
    """Bytes of weights, gradients and optimizer state in one process: Muon keeps one value a weight, AdamW two."""
    embedding = shape.vocab_size * shape.width * (1 if shape.tied else 2)
    kept = 3 if params.optimizer.name == "muon" else 4
    return FLOAT32 * (kept * shape.num_block_parameters + 4 * embedding)


def sequence_bytes(params: Pretrain, shape: Shape, numerics: Numerics) -> int:
    """Bytes of one sequence that the backward pass needs: inputs of norms and of every product."""
    size = 2 if numerics.dtype == "bfloat16" else FLOAT32
    heads = 2 * (shape.heads + shape.kv_heads) * shape.head_dim
    token = 2 * FLOAT32 * shape.width + size * (2 * shape.width + heads + 3 * shape.feed_forward)
    return params.context * shape.depth * token
