"""Text generation with a causal model and a cache of keys and values, determined by the seed."""

from collections.abc import Callable, Collection, Sequence

import tokenizers
import torch
from torch import Tensor

from components.model.export import Network
from components.tokens.tokenizer import END, END_OF_TEXT


def generate(
    model: Network,
    tokenizer: tokenizers.Tokenizer,
    prompt: str | list[int],
    *,
    max_tokens: int = 64,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int = 0,
    stop_ids: Collection[int] = (END_OF_TEXT, END),
    on_token: Callable[[int], None] | None = None,
) -> tuple[str, list[int], list[float]]:
    """Continue `prompt`.

    Args:
        prompt: text (a document of its own: `<|endoftext|>` is put before it), or ids used as they are. What does not
            fit the context beside the answer is cut at the front.
        temperature: 0 takes the likeliest token; else the logits are divided by it before sampling.
        top_p: sample from the smallest set of tokens with this total probability (Holtzman et al.
            2019, arXiv:1904.09751).
        stop_ids: generation ends after one of these, which is left out of the text and kept in the
            ids.
        on_token: called with each id as it is made (for showing text while it grows).

    Returns:
        The new text, its ids, and each id's natural log-probability under the model (before
        temperature and top_p).
    """
    ids = [END_OF_TEXT, *tokenizer.encode(prompt, add_special_tokens=False).ids] if isinstance(prompt, str) else prompt
    assert ids
    assert model.shape.causal
    max_tokens = min(max_tokens, model.shape.context - 1)
    generator = torch.Generator().manual_seed(seed)
    logprobs: list[float] = []

    def pick(logprob_V: Tensor) -> int:
        token = choose(logprob_V, temperature, top_p, generator)
        if on_token:
            on_token(token)
        logprobs.append(float(logprob_V[token]))
        return token

    prompt_ids = ids[-(model.shape.context - max_tokens) :]
    (tokens,) = continued(model, [prompt_ids], max_tokens, pick, lambda ids: ids[-1] in stop_ids)
    text = tokenizer.decode(tokens[:-1] if tokens and tokens[-1] in stop_ids else tokens, skip_special_tokens=False)
    return text, tokens, logprobs


@torch.inference_mode()
def continued(
    model: Network,
    rows: Sequence[Sequence[int]],
    max_tokens: int,
    pick: Callable[[Tensor], int],
    ended: Callable[[list[int]], bool],
) -> list[list[int]]:
    """Ids that follow each of `rows`, which are of one length: as many for each, until all have ended.

    Args:
        pick: the next id, from the natural log-probabilities of all (V,), on the CPU.
        ended: whether no more is wanted after these new ids.
    """
    outputs: list[list[int]] = [[] for _ in rows]
    pending, cache, device = torch.tensor(rows), model.cache(), next(model.parameters()).device
    for _ in range(max_tokens):
        hidden_BD = model.hidden(pending.to(device), cache=cache)[:, -1]
        logprob_BV = model.logits(hidden_BD).float().cpu().log_softmax(-1)
        pending = torch.tensor([[pick(logprob_V)] for logprob_V in logprob_BV])
        for ids, new in zip(outputs, pending.tolist(), strict=True):
            ids += new
        if all(ended(ids) for ids in outputs):
            break
    return outputs


def choose(logprob_V: Tensor, temperature: float, top_p: float, generator: torch.Generator) -> int:
    """One token by temperature and nucleus sampling."""
    if temperature <= 0.0:
        return int(logprob_V.argmax())
    probability_V = (logprob_V / temperature).softmax(-1)
    if top_p < 1.0:
        sorted_V, order_V = probability_V.sort(descending=True, stable=True)
        beyond_V = sorted_V.cumsum(-1) - sorted_V >= top_p  # the first token is always kept
        probability_V = probability_V.index_fill(0, order_V[beyond_V], 0.0)
    return int(torch.multinomial(probability_V, 1, generator=generator))
