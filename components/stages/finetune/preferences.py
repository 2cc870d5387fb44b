"""Preference tuning by DPO (Rafailov et al. 2023, arXiv:2305.18290): pairs of answers, batches, loss, scores.

    loss = -log sigmoid(beta * ((log p(chosen) - log p_ref(chosen)) - (log p(rejected) - log
    p_ref(rejected))))

p_ref is the model before tuning. Its log-probabilities are computed once, before the first step, so
that training holds one model. The pairs are right against wrong answers to the curriculum's
problems, which the model has met in pretraining and answers poorly, or one's own rows (prompt,
chosen, rejected).

Legend: B pairs, 2 chosen and rejected, R rows of a forward pass (2 B), T positions.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from components.core.errors import UserError
from components.corpus.corpus import read_manifest
from components.finetuning_data.chat import encode
from components.finetuning_data.rows import Preference, Refused
from components.instruction_pairs.examples import Examples, Message
from components.model.cpu_kernels import logit_rows
from components.params import Finetune, Numerics
from components.stages.finetune.task_selection import Choice, FinetuneTask
from components.stages.finetune.training import STEP, Batches
from components.synthetic import curriculum
from components.tokens.hub_encoder import AnyEncoder
from components.tokens.tokenizer import PAD
from components.training import numerics as floats
from components.training.objectives import IGNORE, Batch, sft

BATCH = 32
"""Pairs of a forward pass without gradient."""
TENS = (1, -1, 10, -10)
"""Errors of a wrong sum."""
MOST_HELDOUT = 240
"""Held-out pairs of a curriculum."""


def curriculum_pairs(path: Path, params: Finetune) -> Choice:
    """Pairs of the tasks that the corpus in `path` holds a curriculum of; no held-out problem is trained on.

    Raises `UserError`: it holds none.
    """
    sources = read_manifest(path).sources
    held = [task for task in curriculum.TASKS if f"curriculum/{task}" in sources]
    if not held:
        tasks = ", ".join(curriculum.TASKS)
        raise UserError(
            f"finetune.prefer.data = {path}: the corpus holds no curriculum ({tasks}) to draw from; raise "
            "mix.curriculum.share, or give a file of rows (docs/models.md)"
        )

    def pairs(part: curriculum.Split, most: int) -> Any:
        sets = [curriculum.items(task, params.seed, most // len(held), split=part) for task in held]
        problems = [problem for row in zip(*sets, strict=True) for problem in row]
        return [
            replace(right_and_wrong(problem, params.seed), where=f"curriculum/{problem.task} {number}")
            for number, problem in enumerate(problems)
        ]

    title = f"problem of the curriculum ({', '.join(held)}) -> the right of two answers"
    examples = Examples(pairs("train", params.max_pairs), pairs("test", MOST_HELDOUT))
    return Choice(FinetuneTask("curriculum", title), examples)


def right_and_wrong(problem: curriculum.Problem, seed: int) -> Preference:
    """A problem with its answer, and one whose end is wrong: another choice, another letter, or a sum that is off."""
    draw = random.Random(f"{seed} {problem.prompt}")
    if problem.choices:
        wrong = draw.choice([choice for choice in problem.choices if choice != problem.final])
    elif problem.task == "copy":
        letters = problem.final.split()
        others = [letter for letter in curriculum.LETTERS if letter not in letters]
        letters[draw.randrange(len(letters))] = draw.choice(others or list(curriculum.LETTERS))
        wrong = f" {' '.join(letters)}"
    else:
        right = int(problem.final)
        wrong = f" {right + draw.choice([error for error in TENS if right + error >= 0])}"
    rejected = problem.answer.removesuffix(problem.final) + wrong
    prompt = (Message("user", problem.prompt),)
    return Preference(prompt, problem.answer, rejected, f"curriculum/{problem.task}")


@dataclass(frozen=True)
class EncodedPair:
    """A pair as ids; both answers with the token that ends them."""

    prompt: list[int]
    chosen: list[int]
    rejected: list[int]

    def __len__(self) -> int:
        return len(self.prompt) + max(len(self.chosen), len(self.rejected))


def encoded(row: Preference, encoder: AnyEncoder) -> EncodedPair:
    """The ids of a pair."""
    form = encoder.chat
    prompt, _ = encode(row.prompt, encoder, ask=True)
    texts = [text.strip() if form.strips else text for text in (row.chosen, row.rejected)]
    return EncodedPair(prompt, *([*encoder.encode(text), form.end] for text in texts))


def that_fit(choice: Choice, encoder: AnyEncoder, context: int) -> Choice:
    """The choice without pairs that are longer than the context, which are refused."""
    refused, lengths = list(choice.refused), list[int]()

    def fits(row: Preference) -> bool:
        lengths.append(len(encoded(row, encoder)))
        if lengths[-1] > context + 1:
            refused.append(Refused(row.where, "longer than the context", f"{lengths[-1]} tokens of {context}"))
        return lengths[-1] <= context + 1

    train, heldout = (list(filter(fits, rows)) for rows in (choice.examples.train, choice.examples.heldout))
    examples = replace(choice.examples, train=train, heldout=heldout)
    return replace(choice, examples=examples, refused=refused, lengths=lengths)


# -- training ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PairBatch(Batch):
    """Pairs as (B, 2, T) ids and targets, with log-probabilities of answers before tuning."""

    reference_B2: Tensor | None = None

    @property
    def num_targets(self) -> int:
        """A pair is the unit of the loss."""
        return len(self.ids_BT)


def batch_of(pairs: Sequence[EncodedPair], reference_B2: Tensor | None = None, pad: int = PAD) -> PairBatch:
    """Pairs side by side, padded to a multiple of `STEP`."""
    both = sft([(pair.prompt, answer) for pair in pairs for answer in (pair.chosen, pair.rejected)], STEP, pad)
    ids_B2T, targets_B2T = (tensor.unflatten(0, (-1, 2)) for tensor in (both.ids_BT, both.targets))
    return PairBatch(ids_B2T, targets_B2T, reference_B2=reference_B2)


def preference_batches(
    pairs: Sequence[EncodedPair], reference_N2: Tensor, batch: int, seed: int, pad: int = PAD
) -> Batches:
    """Training batches of pairs that are sorted by length, as `reference_N2` is."""

    def make_batch(indices: list[int]) -> PairBatch:
        return batch_of([pairs[index] for index in indices], reference_N2[indices], pad)

    return Batches(len(pairs), batch, seed, make_batch, by_length=True)


def log_probabilities(model: Any, batch: PairBatch) -> Tensor:
    """Log-probability of each answer after its prompt, summed over its tokens: float32 (B, 2)."""
    ids_RT, targets_RT, kept_N = batch.ids_BT.flatten(0, 1), batch.targets.flatten(0, 1), batch.kept()
    state_ND = model.hidden(ids_RT).flatten(0, 1)[kept_N]
    rows = logit_rows(model.shape.vocab_size, state_ND.device.type)
    pieces = list(zip(state_ND.split(rows), targets_RT.flatten()[kept_N].split(rows), strict=True))
    if len(pieces) == 1:
        logp_N = _token_log_probabilities(model, *pieces[0])
    else:  # the logits of one piece at a time, made again for the backward pass
        parts = [checkpoint(_token_log_probabilities, model, *piece, use_reentrant=False) for piece in pieces]
        logp_N = torch.cat(cast(list[Tensor], parts))
    logp_RT = torch.zeros_like(targets_RT, dtype=logp_N.dtype).masked_scatter(targets_RT != IGNORE, logp_N)
    return logp_RT.sum(1).view(-1, 2)


def _token_log_probabilities(model: Any, state_ND: Tensor, targets_N: Tensor) -> Tensor:
    return -F.cross_entropy(model.logits(state_ND).float(), targets_N, reduction="none")


@dataclass(frozen=True)
class DPOLoss:
    """The loss of the module docstring, summed over the pairs of a batch."""

    beta: float

    def __call__(self, model: Any, batch: PairBatch) -> Tensor:
        assert batch.reference_B2 is not None
        change_B2 = log_probabilities(model, batch) - batch.reference_B2
        return -F.logsigmoid(self.beta * (change_B2[:, 0] - change_B2[:, 1])).sum()


@torch.inference_mode()
def all_log_probabilities(model: Any, pairs: Sequence[EncodedPair], numerics: Numerics, pad: int = PAD) -> Tensor:
    """`log_probabilities` of many pairs, batched by length: float32 (N, 2) on the CPU."""
    order = sorted(range(len(pairs)), key=lambda index: (-len(pairs[index]), index))
    device, logp_N2 = str(next(model.parameters()).device), torch.zeros(len(pairs), 2)
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        with floats.autocast(numerics):
            logp_N2[rows] = log_probabilities(model, batch_of([pairs[row] for row in rows], pad=pad).to(device)).cpu()
    return logp_N2.clone()


def wins(logp_N2: np.ndarray) -> np.ndarray:
    """Whether the chosen answer is the likelier one: float (N,); a tie counts half."""
    margin_N = logp_N2[:, 0] - logp_N2[:, 1]
    return (margin_N > 0) + 0.5 * (margin_N == 0)
