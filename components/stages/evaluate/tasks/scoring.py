"""A language model as the eval tasks use it: log-probabilities of texts and choices, and greedy answers.

Products are in float32: a log-odds of two pronouns is smaller than what bfloat16 rounds away.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from components.tokens.tokenizer import END_OF_TEXT
from components.training.likelihood import BATCH_TOKENS, Scores, TokenRow, batches, next_tokens, score

if TYPE_CHECKING:
    import tokenizers
    import torch

    from components.model.export import Network


@dataclass
class LanguageModel:
    """A model with its tokenizer and context length, as the eval tasks use it."""

    model: "Network"
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
        return [END_OF_TEXT, *self.tokenizer.encode(text, add_special_tokens=False).ids]

    def score(self, sequences: Sequence[Sequence[int]]) -> list[Scores]:
        """Scores of the ids after the first of each sequence (at least two, at most `context` + 1), in order."""
        return score(self.model, [next_tokens(ids) for ids in sequences])

    @property
    def device(self) -> "torch.device":
        """Where the weights live."""
        return next(self.model.parameters()).device

    def answers(self, prompts: Sequence[tuple[str, str]]) -> list[Scores]:
        """Score each (prompt, continuation): the continuation's tokens given the prompt at a document's start.

        Prompt and continuation are encoded together, so the split falls where the tokenizer would
        put it. Texts longer than the context lose their beginning.
        """
        return score(self.model, [self._answer(*prompt) for prompt in prompts])

    def _answer(self, prompt: str, continuation: str) -> TokenRow:
        ids, prompt_ids = self.encode(prompt + continuation), self.encode(prompt)
        same = next((i for i, (a, b) in enumerate(zip(ids, prompt_ids, strict=False)) if a != b), len(prompt_ids))
        return next_tokens(ids[-self.context - 1 :], len(ids) - min(same, len(ids) - 1))

    def choose(self, prompts: Sequence[tuple[str, Sequence[str]]]) -> list[list[float]]:
        """Total log-probability (nats) of each choice after its prompt, for each (prompt, choices).

        Where the choices of a prompt differ in their last token only (` 3`, ` 7`), one pass over
        the prompt scores all.
        """
        asked = [self._choices(prompt, choices) for prompt, choices in prompts]
        scored = iter(score(self.model, [row for rows in asked for row in rows]))
        logps: list[list[float]] = []
        for rows, (_, choices) in zip(asked, prompts, strict=True):
            results = [next(scored) for _ in rows]
            shared = len(rows) < len(choices)
            logps.append(results[0].logp.tolist() if shared else [one.total for one in results])
        return logps

    def _choices(self, prompt: str, choices: Sequence[str]) -> list[TokenRow]:
        """A row for each choice; one for all of them if they differ in their last id only."""
        texts = [self.encode(prompt + choice)[-self.context - 1 :] for choice in choices]
        if len(choices) == 1 or len({tuple(ids[:-1]) for ids in texts}) > 1:
            return [self._answer(prompt, choice) for choice in choices]
        return [TokenRow(texts[0][:-1], [len(texts[0]) - 2] * len(texts), [ids[-1] for ids in texts])]

    def greedy(self, prompts: Sequence[str], max_tokens: int, stop: str) -> list[str]:
        """Greedy continuations of at most `max_tokens` tokens, each cut before `stop`.

        Prompts of equal length are continued together. What does not fit the context beside the
        answer is cut in front.
        """
        from components.model.generate import continued

        rows = [self.encode(prompt)[-(self.context - max_tokens) :] for prompt in prompts]
        by_length: dict[int, list[int]] = {}
        for index, ids in enumerate(rows):
            by_length.setdefault(len(ids), []).append(index)
        texts = [""] * len(rows)
        for length, indices in by_length.items():
            for part in batches([length + max_tokens] * len(indices), BATCH_TOKENS):
                chosen = [indices[position] for position in part]
                outputs = continued(self.model, [rows[index] for index in chosen], max_tokens,
                                 lambda logp_V: int(logp_V.argmax()), lambda ids: self._ended(ids, stop))  # fmt: skip
                for index, ids in zip(chosen, outputs, strict=True):
                    end = ids.index(END_OF_TEXT) if END_OF_TEXT in ids else len(ids)
                    texts[index] = self.tokenizer.decode(ids[:end]).split(stop)[0]
        return texts

    def _ended(self, ids: list[int], stop: str) -> bool:
        return END_OF_TEXT in ids or stop in self.tokenizer.decode(ids)
