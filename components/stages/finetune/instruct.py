"""Instruction tuning of the causal model: training batches, and scores of its answers.

A pair becomes `<|endoftext|><|user|>prompt<|assistant|>answer<|end|>`, with the loss on the answer alone. Two measures
on held-out pairs, both before and after:

- bits per byte of the answer given its prompt. `<|end|>` is not counted, so that the base model can be judged too.
- choice: of four pairs the model is asked, for each prompt, which of the four answers is its own.
  An answer's score is its log-probability after this prompt less its mean after all four prompts:
  what an answer gains from *this* prompt, whatever its length or style. A model that does not read
  the prompt gets a quarter right; a rule that reads no language, but counts the runs of letters
  that prompt and answer share, can get nearly all: it is the baseline.

Before tuning the model has never seen the chat tokens, so the base model is given prompt and answer
as plain lines of text, the form in which it does best; anything else would flatter the tuning.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from components.finetuning_data.chat import encode
from components.instruction_pairs.examples import PromptPair
from components.model.document_attention import BLOCK
from components.model.export import Network
from components.params import Numerics
from components.stages.finetune.training import STEP, Batches
from components.statistics import Estimate, ratio
from components.tokens.hub_encoder import AnyEncoder
from components.training import objectives
from components.training.likelihood import next_tokens, score
from components.training.objectives import Batch

CHOICES = 4
RUN = 4
"""Letters of a run that a prompt and an answer may share."""
Ids = tuple[list[int], list[int]]
"""Prompt ids and answer ids."""


@dataclass(frozen=True)
class Format:
    """Format of a pair as ids that fit `context`.

    Attributes:
        encoder: the tokenizer.
        context: most ids of a pair. Where one has more, the answer loses its end, beyond half the
            context, and what stands before it its beginning.
        chat: with chat tokens; else as two lines of a document.
    """

    encoder: AnyEncoder
    context: int
    chat: bool

    def __call__(self, pair: PromptPair, answer: str | None = None, end: bool = True) -> Ids:
        """Ids of a pair (with another answer, if given); the answer with its end token if `end` (chat only)."""
        answer_ids = self._encode(pair.answer if answer is None else answer)
        ends = [self.encoder.chat.end] if self.chat and end else []
        available = self.context - len(ends)
        prompt_ids = self.prompt(pair, self.context)
        if len(prompt_ids) + len(answer_ids) > available:
            answer_ids = answer_ids[: max(self.context // 2, available - len(prompt_ids))]
            prompt_ids = self.prompt(pair, available - len(answer_ids))
        return prompt_ids, answer_ids + ends

    def _encode(self, text: str) -> list[int]:
        """Ids of a message, as `chat.encode` has them."""
        return self.encoder.encode(text.strip() if self.chat and self.encoder.chat.strips else text)

    def prompt(self, pair: PromptPair, max_tokens: int) -> list[int]:
        """Ids of a prompt and the messages before it, at most `max_tokens`."""
        form = self.encoder.chat
        if self.chat:
            (before, after), (answer, _) = form.around["user"], form.around["assistant"]
            after = (*after, *answer)
            history, _ = encode(pair.history, self.encoder)
            history = history[len(form.begin) :]
        else:
            before, after = (), tuple(self.encoder.encode("\n"))
            history = self.encoder.encode("".join(f"{message.content}\n" for message in pair.history))
        begin = form.begin
        max_tokens -= len(begin) + len(before) + len(after)
        prompt = self._encode(pair.prompt)[-max(1, max_tokens) :]
        left = max_tokens - len(prompt)
        return [*begin, *history[len(history) - max(0, min(left, len(history))) :], *before, *prompt, *after]


def packed_batches(
    chats: Sequence[tuple[list[int], list[bool]]], batch: int, context: int, seed: int, alone: bool = False
) -> Batches:
    """Training batches of chats, in as few rows as fit.

    On CUDA attention goes by blocks, as in pretraining with `document_mask`: rows are whole blocks
    where the context is. On a CPU both have the dense mask: PyTorch has no gradient of
    FlexAttention there, and cpu_kernels.py no mask.

    Args:
        chats: ids, and which of them are learned; each of at most `context` + 1.
        alone: a row for each.
    """
    step = BLOCK if context >= BLOCK else STEP

    def packed(indices: list[int]) -> Batch:
        return objectives.packed([chats[index] for index in indices], context, step, alone)

    return Batches(len(chats), batch, seed, packed)


def pair_batches(pairs: Sequence[Ids], batch: int, context: int, seed: int) -> Batches:
    """Training batches of pairs, each of at most `context` ids; those of similar length share one."""
    pairs = sorted(pairs, key=lambda pair: len(pair[0]) + len(pair[1]))
    step = min(STEP, context)
    return Batches(len(pairs), batch, seed, lambda chosen: objectives.sft([pairs[i] for i in chosen], step), True)


def answer_nats(model: Network, asked: Sequence[Ids], numerics: Numerics) -> np.ndarray:
    """Nats of each answer after its prompt: float64 (num_asked,)."""
    rows = [next_tokens([*prompt, *answer], len(answer)) for prompt, answer in asked]
    return np.array([-scores.total for scores in score(model, rows, numerics)])


@dataclass(frozen=True)
class InstructionScores:
    """Scores of a model on the held-out pairs.

    Attributes:
        bits: (num_pairs,) bits of each answer after its own prompt.
        num_bytes: (num_pairs,) UTF-8 bytes of each answer, as far as the context let it be read.
        right: (num_choices,) whether the pair's own answer was chosen; a tie of k counts 1/k.
        clusters, strata: each pair's work, which is resampled as a whole, and its source.
    """

    bits: np.ndarray
    num_bytes: np.ndarray
    right: np.ndarray
    clusters: list[str]
    strata: list[str]

    @property
    def bits_per_byte(self) -> Estimate:
        return ratio(self.bits.tolist(), self.num_bytes.tolist(), self.clusters, strata=self.strata)

    @property
    def choice(self) -> Estimate | None:
        """Share of right choices; None with fewer than four pairs."""
        return self.over_choices(self.right) if len(self.right) else None

    def over_choices(self, scores: np.ndarray, paired: bool = False) -> Estimate:
        """Mean of a score of each choice, over works; `paired`: of differences."""
        clusters, strata = self.clusters[: len(scores)], self.strata[: len(scores)]
        return ratio(scores.tolist(), None, clusters, strata=strata, paired=paired)


def judge(model: Network, pairs: Sequence[PromptPair], form: Format, numerics: Numerics) -> InstructionScores:
    """Score held-out pairs: each answer after its prompt and after those of its group of four."""
    count = len(pairs) - len(pairs) % CHOICES
    encoded = [form(pairs[row], pairs[other].answer, end=False) for row, other in in_groups(count)]
    encoded += [form(pair, end=False) for pair in pairs[count:]]
    nats = answer_nats(model, encoded, numerics)
    square_GPA = -nats[: count * CHOICES].reshape(-1, CHOICES, CHOICES)
    own_nats = np.concatenate([-np.diagonal(square_GPA, axis1=1, axis2=2).reshape(-1), nats[count * CHOICES :]])
    clusters, strata = [pair.cluster for pair in pairs], [pair.stratum for pair in pairs]
    return InstructionScores(own_nats / np.log(2), answer_bytes(pairs, form), chosen(square_GPA), clusters, strata)


def in_groups(count: int) -> Iterator[tuple[int, int]]:
    """Each prompt of `count`, by number, with each answer of its group of `CHOICES`."""
    groups = (range(start, start + CHOICES) for start in range(0, count, CHOICES))
    return ((prompt, answer) for group in groups for prompt in group for answer in group)


def answer_bytes(pairs: Sequence[PromptPair], form: Format) -> np.ndarray:
    """UTF-8 bytes of each answer, as far as the context lets it be read: int64 (num_pairs,)."""
    return np.array([sum(len(form.encoder.token_bytes(id)) for id in form(pair, end=False)[1]) for pair in pairs])


def right_by_rule(pairs: Sequence[PromptPair]) -> dict[str, tuple[str, np.ndarray]]:
    """Key -> name and, as `InstructionScores.right`, what a rule without a network chooses.

    Guessing; the answer that shares most runs of `RUN` letters with the prompt, or most words; the
    one that is nearest in length to the prompt.
    """

    def letters(text: str) -> set[str]:
        joined = " ".join(text.lower().split())
        return {joined[start : start + RUN] for start in range(len(joined) - RUN + 1)}

    def words(text: str) -> set[str]:
        return set(re.findall(r"[a-z]+", text.lower()))

    rules: dict[str, tuple[str, Callable[[str, str], float]]] = {
        "chance": ("guessing", lambda prompt, answer: 0.0),
        "overlap": ("shared letters", lambda prompt, answer: len(letters(prompt) & letters(answer))),
        "words": ("shared words", lambda prompt, answer: len(words(prompt) & words(answer))),
        "length": ("like length", lambda prompt, answer: -abs(len(prompt) - len(answer))),
    }
    cells = list(in_groups(len(pairs) - len(pairs) % CHOICES))
    return {
        key: (name, chosen(np.reshape([float(rule(pairs[row].prompt, pairs[other].answer)) for row, other in cells],
                                      (-1, CHOICES, CHOICES))))
        for key, (name, rule) in rules.items()
    }  # fmt: skip


def chosen(square_GPA: np.ndarray) -> np.ndarray:
    """From log-probabilities (groups, prompts, answers) whether each prompt's own answer wins: float (groups * 4,)."""
    gain_GPA = square_GPA - square_GPA.mean(axis=1, keepdims=True)
    best_GPA = gain_GPA >= gain_GPA.max(axis=2, keepdims=True) - 1e-9
    return (np.diagonal(best_GPA, axis1=1, axis2=2) / best_GPA.sum(axis=2)).reshape(-1)
