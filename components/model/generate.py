"""Text generation with a causal model and a cache of keys and values; the same seed gives the same text."""

from collections.abc import Callable, Collection, Sequence

import tokenizers
import torch
from torch import Tensor

from components.model.transformer import KeyValueCache, Transformer
from components.tokens.tokenizer import END, END_OF_TEXT


@torch.inference_mode()
def generate(
    model: Transformer,
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
        top_p: sample from the smallest set of tokens with this total probability (Holtzman et al. 2019,
            arXiv:1904.09751).
        stop_ids: generation ends after one of these, which is left out of the text and kept in the ids.
        on_token: called with each id as it is made (for showing text while it grows).

    Returns:
        The new text, its ids, and each id's natural log-probability under the model (before temperature and top_p).
    """
    ids = [END_OF_TEXT, *tokenizer.encode(prompt, add_special_tokens=False).ids] if isinstance(prompt, str) else prompt
    assert ids
    assert model.shape.causal
    max_tokens = min(max_tokens, model.shape.context - 1)
    device = model.embed_tokens.weight.device
    generator = torch.Generator().manual_seed(seed)
    pending, cache = ids[-(model.shape.context - max_tokens) :], KeyValueCache(model.shape)
    made: list[int] = []
    logprobs: list[float] = []
    while len(made) < max_tokens:
        hidden_D = model.hidden(torch.tensor([pending], device=device), cache=cache)[0, -1]
        logprob_V = (model.head_weight @ hidden_D).float().cpu().log_softmax(-1)
        token = choose(logprob_V, temperature, top_p, generator)
        made.append(token)
        if on_token:
            on_token(token)
        logprobs.append(float(logprob_V[token]))
        if token in stop_ids:
            break
        pending = [token]
    text = tokenizer.decode(made[:-1] if made and made[-1] in stop_ids else made, skip_special_tokens=False)
    return text, made, logprobs


@torch.inference_mode()
def sample(
    model: Transformer,
    prompts: Sequence[Sequence[int]],
    times: int,
    *,
    max_tokens: int,
    temperature: float = 0.0,
    seeds: Sequence[int] = (),
    stop_ids: Collection[int] = (END_OF_TEXT, END),
) -> list[list[int]]:
    """Ids of `times` continuations of each prompt, the first prompt's first, each with the stop id that ended it.

    Prompts of equal length are read and continued together, and what has ended is computed no further. Arguments as of
    `generate`, but a seed for each prompt: what is drawn does not depend on the prompts beside it. A prompt and
    `max_tokens` must fit the context.
    """
    device = model.embed_tokens.weight.device
    made: list[list[int]] = [[] for _ in range(times * len(prompts))]
    if temperature > 0.0:
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        share_RT = torch.cat([torch.rand(times, max_tokens, dtype=torch.float64, generator=one) for one in generators])
    for length in sorted({len(ids) for ids in prompts}):
        assert length + max_tokens <= model.shape.context, (length, max_tokens)
        here = [index for index, ids in enumerate(prompts) if len(ids) == length]
        cache, rows = KeyValueCache(model.shape), [index * times + number for index in here for number in range(times)]
        hidden_BD = model.hidden(torch.tensor([prompts[index] for index in here], device=device), cache=cache)[:, -1]
        row_R = torch.arange(len(here), device=device).repeat_interleave(times)
        cache.take(row_R)
        hidden_RD = hidden_BD[row_R]
        while True:
            logits_RV = (hidden_RD @ model.head_weight.T).float().cpu()
            if temperature <= 0.0:
                token_R = logits_RV.argmax(-1)
            else:
                token_R = at_shares((logits_RV / temperature).softmax(-1), share_RT[rows, len(made[rows[0]])])
            for row, token in zip(rows, token_R.tolist(), strict=True):
                made[row].append(token)
            kept = [place for place, row in enumerate(rows) if made[row][-1] not in stop_ids]
            if not kept or len(made[rows[0]]) == max_tokens:
                break
            if len(kept) < len(rows):
                cache.take(torch.tensor(kept, device=device))
                rows, token_R = [rows[place] for place in kept], token_R[kept]
            hidden_RD = model.hidden(token_R[:, None].to(device), cache=cache)[:, -1]
    return made


def at_shares(probability_RV: Tensor, share_R: Tensor) -> Tensor:
    """The token of each row at which the sum of probabilities passes a share in [0, 1) of all: int64 (R,)."""
    sum_RV = probability_RV.double().cumsum(-1)
    return torch.searchsorted(sum_RV, share_R[:, None] * sum_RV[:, -1:], right=True)[:, 0]


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
