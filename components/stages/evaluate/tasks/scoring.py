"""Log-probabilities of texts under a model, many at a time.

Texts of similar length share a batch (padded at the end, which a causal model cannot see) and every batch is the same
whatever else runs, so the same model and texts always give the same bytes. Products are in float32: a log-odds of two
pronouns is smaller than what bfloat16 rounds away.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import tokenizers
    import torch

    from components.model.transformer import KeyValueCache, Transformer

BOS = 0
"""Id of `<|endoftext|>`, which begins every document."""
BATCH_TOKENS = 1024
"""Tokens per forward pass: what a small model's activations fill of a CPU's cache (4096 took a third longer)."""
MIN_SHARED = 8
"""Ids from which on a common beginning is worth a pass of its own."""
MAX_LOGITS = 24_000_000
"""Logits held at once (float32: 96 MB), which bounds memory for large vocabularies."""


@dataclass(frozen=True)
class Scores:
    """Log-probabilities of the tokens of one sequence after the first; each array is (length - 1,).

    Attributes:
        logp: natural log-probability of the token that follows.
        top: natural log-probability of the model's own first choice.
        hit: whether that choice is the token.
    """

    logp: np.ndarray
    top: np.ndarray
    hit: np.ndarray


@dataclass(frozen=True)
class ContinuationScore:
    """A continuation's score: total log-probability (nats), its tokens, and whether greedy decoding would write it."""

    logp: float
    num_tokens: int
    greedy: bool


@dataclass
class LanguageModel:
    """A model with its tokenizer and context length, as the eval tasks use it."""

    model: "Transformer"
    tokenizer: "tokenizers.Tokenizer"
    context: int

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> "LanguageModel":
        """Read a model folder."""
        from components.model.export import load

        model, tokenizer, _ = load(folder, device)
        tokenizer.encode_special_tokens = True  # their names inside a text are plain text
        return cls(model, tokenizer, model.shape.context)

    def random_weights(self, seed: int = 1) -> "LanguageModel":
        """The same network with random matrices, those that training starts at zero among them: a baseline of bias."""
        import torch

        from components.model.transformer import Transformer

        network, generator = Transformer(self.model.shape).initialise(seed), torch.Generator().manual_seed(seed)
        for matrix in network.layers.parameters():
            if matrix.ndim == 2:
                torch.nn.init.normal_(matrix, std=matrix.shape[1] ** -0.5, generator=generator)
        if not network.shape.tied:  # at zero all tokens would be equally likely, and no gap could be smaller
            torch.nn.init.normal_(network.lm_head.weight, std=0.02, generator=generator)
        return LanguageModel(network.to(self.device).eval(), self.tokenizer, self.context)

    def encode(self, text: str) -> list[int]:
        """Ids of a text that begins a document: the separator, then the text (special tokens in it are plain text)."""
        return [BOS, *self.tokenizer.encode(text, add_special_tokens=False).ids]

    def score(self, sequences: Sequence[Sequence[int]]) -> list[Scores]:
        """Scores of each sequence (at least two ids, at most `context` + 1), in order."""
        import torch

        results: list[Scores | None] = [None] * len(sequences)
        with torch.inference_mode():
            for indices in batches([len(ids) for ids in sequences], self.batch_tokens):
                for index, scores in zip(indices, self._score_batch([sequences[i] for i in indices]), strict=True):
                    results[index] = scores
        return [scores for scores in results if scores is not None]

    @property
    def batch_tokens(self) -> int:
        """Tokens per forward pass for this vocabulary."""
        most = BATCH_TOKENS if self.device.type == "cpu" else 32 * BATCH_TOKENS
        return max(256, min(most, MAX_LOGITS // self.tokenizer.get_vocab_size()))

    def _score_batch(self, sequences: Sequence[Sequence[int]]) -> Iterator[Scores]:
        """One forward pass over sequences of similar length."""
        import torch

        ids_BT = padded(sequences, self.device)
        logits_BTV = self.model(ids_BT[:, :-1]).float()
        norm_BT = torch.logsumexp(logits_BTV, dim=-1)
        top_BT, choice_BT = logits_BTV.max(dim=-1)
        next_BT = ids_BT[:, 1:]
        logp_BT = logits_BTV.gather(-1, next_BT[..., None])[..., 0] - norm_BT
        arrays = [x.cpu().numpy() for x in (logp_BT.double(), (top_BT - norm_BT).double(), choice_BT == next_BT)]
        for row, ids in enumerate(sequences):
            yield Scores(*(array[row, : len(ids) - 1].copy() for array in arrays))

    @property
    def device(self) -> "torch.device":
        """Where the weights live."""
        return next(self.model.parameters()).device

    def answers(self, prompts: Sequence[tuple[str, str]]) -> list[ContinuationScore]:
        """Score each (prompt, continuation): the continuation's tokens given the prompt at a document's start.

        Prompt and continuation are encoded together, so the split falls where the tokenizer would put it. Texts longer
        than the context lose their beginning.
        """
        sequences, lengths = [], []
        for prompt, continuation in prompts:
            ids, prompt_ids = self.encode(prompt + continuation), self.encode(prompt)
            same = next((i for i, (a, b) in enumerate(zip(ids, prompt_ids, strict=False)) if a != b), len(prompt_ids))
            lengths.append(len(ids) - min(same, len(ids) - 1))
            sequences.append(ids[-self.context - 1 :])
        scored = self.score(sequences)
        return [
            ContinuationScore(float(scores.logp[-n:].sum()), n, bool(scores.hit[-n:].all()))
            for scores, n in zip(scored, lengths, strict=True)
        ]

    def continuations(self, sequences: Sequence[list[int]], counts: Sequence[int]) -> list[ContinuationScore]:
        """Score of the last `count` ids of each sequence given those before; logits are made for these alone.

        What several endings continue is read once for all of them.
        """
        import torch

        found: dict[int, ContinuationScore] = {}
        begins: dict[tuple[int, ...], list[int]] = {}
        for index, (ids, n) in enumerate(zip(sequences, counts, strict=True)):
            begins.setdefault(tuple(ids[:-n]), []).append(index)
        shared = [indices for begin, indices in begins.items() if len(indices) > 1 and len(begin) >= MIN_SHARED]
        alone = sorted(set(range(len(sequences))) - {index for indices in shared for index in indices})
        with torch.inference_mode():
            for places in batches([len(sequences[index]) for index in alone], self.batch_tokens):
                indices = [alone[place] for place in places]
                scored = self._continuations([sequences[i] for i in indices], [counts[i] for i in indices])
                found |= zip(indices, scored, strict=True)
            by_length: dict[int, list[list[int]]] = {}
            for indices in shared:
                by_length.setdefault(len(sequences[indices[0]]) - counts[indices[0]], []).append(indices)
            for length, groups in sorted(by_length.items()):
                step = max(1, self.batch_tokens // length)
                for start in range(0, len(groups), step):
                    part = groups[start : start + step]
                    flat = [index for indices in part for index in indices]
                    found |= zip(flat, self._endings(part, sequences, counts, length), strict=True)
        return [found[index] for index in range(len(sequences))]

    def _endings(
        self, groups: Sequence[list[int]], sequences: Sequence[list[int]], counts: Sequence[int], length: int
    ) -> Iterator[ContinuationScore]:
        """Scores of the endings of sequences that share their first `length` ids within each group."""
        import torch

        from components.model.transformer import KeyValueCache

        cache = KeyValueCache(self.model.shape)
        self.model.hidden(padded([sequences[indices[0]][: length - 1] for indices in groups], self.device), cache=cache)
        times = torch.tensor([len(indices) for indices in groups], device=self.device)
        cache.take(torch.arange(len(groups), device=self.device).repeat_interleave(times))
        flat = [index for indices in groups for index in indices]
        return self._continuations([sequences[i][length - 1 :] for i in flat], [counts[i] for i in flat], cache)

    def _continuations(
        self, rows: Sequence[list[int]], counts: Sequence[int], cache: "KeyValueCache | None" = None
    ) -> Iterator[ContinuationScore]:
        """One forward pass over sequences of similar length, after what `cache` holds."""
        import torch

        hidden_BTD = self.model.hidden(padded([ids[:-1] for ids in rows], self.device), cache=cache)
        places = [(row, len(ids) - 1, n) for row, (ids, n) in enumerate(zip(rows, counts, strict=True))]
        hidden_ND = torch.cat([hidden_BTD[row, end - n : end] for row, end, n in places])
        logits_NV = (hidden_ND @ self.model.head_weight.T).float()
        next_N = torch.tensor([id for row, _, n in places for id in rows[row][-n:]], device=self.device)
        logp_N = (logits_NV.gather(-1, next_N[:, None])[:, 0] - torch.logsumexp(logits_NV, dim=-1)).double().cpu()
        hit_N = (logits_NV.argmax(-1) == next_N).cpu()
        for logp, hit in zip(logp_N.split(list(counts)), hit_N.split(list(counts)), strict=True):
            yield ContinuationScore(float(logp.sum()), len(logp), bool(hit.all()))

    def choose(self, prompts: Sequence[tuple[str, Sequence[str]]]) -> list[list[float]]:
        """Total log-probability (nats) of each choice after its prompt, for each (prompt, choices).

        Where the choices of a prompt differ in their last token only (` 3`, ` 7`), one pass over the prompt scores all.
        """
        plans = [self._plan(prompt, choices) for prompt, choices in prompts]
        shared = self._next_logps([plan for plan in plans if plan is not None])
        long = [
            (prompt, choice)
            for (prompt, choices), plan in zip(prompts, plans, strict=True)
            if plan is None
            for choice in choices
        ]
        rest = iter(self.answers(long))
        logps: list[list[float]] = []
        for (_, choices), plan in zip(prompts, plans, strict=True):
            logps.append([next(rest).logp for _ in choices] if plan is None else next(shared))
        return logps

    def _plan(self, prompt: str, choices: Sequence[str]) -> tuple[list[int], list[int]] | None:
        """Ids all choices begin with, and each one's last id; None if they differ elsewhere."""
        rows = [self.encode(prompt + choice)[-self.context - 1 :] for choice in choices]
        if len({tuple(row[:-1]) for row in rows}) > 1:
            return None
        return rows[0][:-1], [row[-1] for row in rows]

    def _next_logps(self, plans: Sequence[tuple[list[int], list[int]]]) -> Iterator[list[float]]:
        """Log-probabilities of the candidate ids that may follow each prefix, in order."""
        import torch

        logps: list[list[float]] = [[] for _ in plans]
        with torch.inference_mode():
            for indices in batches([len(prefix) for prefix, _ in plans], self.batch_tokens):
                rows = [plans[i][0] for i in indices]
                logp_BV = torch.log_softmax(self._last_logits(rows), dim=-1).double().cpu()
                for row, index in enumerate(indices):
                    logps[index] = logp_BV[row, plans[index][1]].tolist()
        return iter(logps)

    def _last_logits(self, rows: Sequence[Sequence[int]], cache: "KeyValueCache | None" = None) -> "torch.Tensor":
        """Logits (B, V) of what follows each row (given what `cache` holds already)."""
        import torch

        hidden_BTD = self.model.hidden(padded(rows, self.device), cache=cache)
        last_B = torch.tensor([len(ids) - 1 for ids in rows], device=self.device)
        hidden_BD = hidden_BTD[torch.arange(len(rows), device=self.device), last_B]
        return (hidden_BD @ self.model.head_weight.T).float()

    def greedy(self, prompts: Sequence[str], max_tokens: int, stop: str) -> list[str]:
        """Greedy continuations of at most `max_tokens` tokens, each cut before `stop`.

        Prompts of equal length are continued together. What does not fit the context beside the answer is cut in front.
        """
        import torch

        rows = [self.encode(prompt)[-(self.context - max_tokens) :] for prompt in prompts]
        by_length: dict[int, list[int]] = {}
        for index, ids in enumerate(rows):
            by_length.setdefault(len(ids), []).append(index)
        texts = [""] * len(rows)
        with torch.inference_mode():
            for length, indices in sorted(by_length.items()):
                step = max(1, self.batch_tokens // (length + max_tokens))
                for start in range(0, len(indices), step):
                    part = indices[start : start + step]
                    for index, text in zip(
                        part, self._continue([rows[i] for i in part], max_tokens, stop), strict=True
                    ):
                        texts[index] = text
        return texts

    def _continue(self, rows: list[list[int]], max_tokens: int, stop: str) -> list[str]:
        """Continue rows of equal length, with a cache, until each has written `stop` or the separator."""
        from components.model.transformer import KeyValueCache

        cache, pending = KeyValueCache(self.model.shape), rows
        made: list[list[int]] = [[] for _ in rows]
        for _ in range(max_tokens):
            pending = self._last_logits(pending, cache).argmax(-1)[:, None].tolist()
            for ids, new in zip(made, pending, strict=True):
                ids += new
            if all(self._ended(ids, stop) for ids in made):
                break
        ends = (ids[: ids.index(BOS)] if BOS in ids else ids for ids in made)
        return [self.tokenizer.decode(ids).split(stop)[0] for ids in ends]

    def _ended(self, ids: list[int], stop: str) -> bool:
        return BOS in ids or stop in self.tokenizer.decode(ids)

    def token_bytes(self) -> np.ndarray:
        """UTF-8 bytes each id stands for: int64 (vocab_size,), 0 for special tokens."""
        size = self.tokenizer.get_vocab_size()
        special = {index for index, token in self.tokenizer.get_added_tokens_decoder().items() if token.special}
        names = (self.tokenizer.id_to_token(index) or "" for index in range(size))
        return np.array([0 if index in special else len(name) for index, name in enumerate(names)], dtype=np.int64)


def batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Indices grouped by length, longest first, so that a padded batch holds at most `batch_tokens` (or one row)."""
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    start = 0
    while start < len(order):
        rows = max(1, batch_tokens // max(1, lengths[order[start]]))
        yield order[start : start + rows]
        start += rows


def padded(sequences: Sequence[Sequence[int]], device: Any) -> "torch.Tensor":
    """Ids as one int64 tensor (B, longest), the ends filled with the separator."""
    import torch

    longest = max(len(ids) for ids in sequences)
    return torch.tensor([[*ids, *[BOS] * (longest - len(ids))] for ids in sequences], dtype=torch.int64, device=device)
