"""The text a model was trained on, as windows of ids and as a string: what counting rules may know."""

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from components.core.files import read_json
from components.counting.ngrams import Mixture, NGram, before
from components.lineage.exposure import Training
from components.tokens.shards import TokenShards
from components.tokens.tokenizer import END_OF_TEXT
from components.training.data_order import PretrainBatches
from greenhouse_record.order import phase_of

MOST_TOKENS = 20_000_000
"""Tokens that a rule knows at most, the last ones seen: an n-gram model of so many takes 13 s and 2 GB."""

LONGEST = 6
"""Order of the n-grams of text."""


class TrainingText:
    """The tokens a model was trained on: its data order, run once more over the corpus of the tokenize stage."""

    def __init__(self, model: Path, shards: TokenShards, causal: bool = True) -> None:
        facts = read_json(model / "greenhouse.json")
        self.model, self.shards = model, shards
        self.order = Training.of(facts, shards.num_tokens, causal)
        self.context, self.vocab_size = int(facts["shape"]["context"]), int(facts["shape"]["vocab_size"])

    @property
    def windows(self) -> list[np.ndarray]:
        """The ids of each window, in the order of training; at most about the last `MOST_TOKENS`.

        Text that was read several times is here once, where it was read last. If every n-gram
        occurred as often as there were epochs, nothing would be left to discount, and the weights
        that are fitted to the last windows would be fitted to text that the counts hold already.
        """
        return self._read[0]

    @property
    def share(self) -> float:
        """Share of the batches trained on that were gone through for `windows`, from the last one back."""
        return self._read[1]

    @cached_property
    def ids(self) -> np.ndarray:
        """The tokens of `windows`, one after the other: int64."""
        return np.concatenate(self.windows)

    @cached_property
    def text(self) -> str:
        """The windows as one string, in the order of training."""
        return str(self._tokenizer.decode(self.ids.tolist()))

    def encode(self, text: str) -> list[int]:
        """Ids of a text that begins a document, as the model is given it."""
        return [END_OF_TEXT, *self._tokenizer.encode(text, add_special_tokens=False).ids]

    @cached_property
    def ngrams(self) -> dict[int, NGram]:
        """N-gram models of the text by their order, of few ids, counted once."""
        return {order: NGram(self.windows, before(order), self.vocab_size) for order in (1, 2, 3)}

    @cached_property
    def mixture(self) -> Mixture:
        """N-grams of the text with a cache of the window, fitted once."""
        return Mixture(self.windows, [before(LONGEST)], self.vocab_size, self.context)

    @cached_property
    def _tokenizer(self) -> Any:
        import tokenizers

        tokenizer = tokenizers.Tokenizer.from_file(str(self.model / "tokenizer.json"))
        tokenizer.encode_special_tokens = True  # their names inside a text are plain text
        return tokenizer

    @cached_property
    def _read(self) -> tuple[list[np.ndarray], float]:
        order = self.order
        batches = PretrainBatches(self.shards, order.phases, None if order.causal else 0.0, document_mask=False)
        known, kept, tokens, read = np.zeros(order.num_tokens, bool), [], 0, 0
        for number in reversed(order.batches):
            if tokens >= MOST_TOKENS:
                break
            read += 1
            phase = phase_of(order.phases, number)
            windows = batches.windows(phase)
            for sample in reversed(phase.samples(number)):
                start = windows.start(sample)  # of a causal window the first token is input alone
                scored = known[start + order.causal : start + windows.length]
                if scored.mean() < 0.5:  # windows of another length of training lie across those of this one
                    scored[:] = True
                    kept.append(windows.window(sample))
                    tokens += windows.length
        return kept[::-1], read / order.steps


class TunedText(TrainingText):
    """A training text and, after it, lines that the model was tuned on."""

    def __init__(self, seen: TrainingText, lines: Iterable[str]) -> None:
        self.model, self.shards, self.order = seen.model, seen.shards, seen.order
        self.context, self.vocab_size = seen.context, seen.vocab_size
        more = [np.array(self.encode(line)[: self.context + 1]) for line in lines]
        self._read = [*seen.windows, *more], seen.share


class WholeCorpus(TrainingText):
    """All tokens of the corpus, in windows of the model's context: what counting reads while a network trains."""

    @cached_property
    def _read(self) -> tuple[list[np.ndarray], float]:
        ids = self.shards.window(0, self.shards.num_tokens)
        order = np.random.default_rng(1).permutation(range(0, len(ids) - 1, self.context))
        return [ids[start : start + self.context + 1] for start in order], 1.0
