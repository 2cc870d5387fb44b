"""Generation: the cache changes nothing, a seed fixes the text, probabilities are the model's."""

import tokenizers
import torch

from components.model.generate import generate
from tests.components.model.test_transformer import network


def test_logprobs_are_those_of_one_pass_over_the_whole_text(tokenizer: tokenizers.Tokenizer) -> None:
    model = network(kv_heads=1)
    prompt = [0, *tokenizer.encode("Encode the object").ids]
    text, ids, logprobs = generate(model, tokenizer, prompt, max_tokens=20, temperature=0.9, seed=4, stop_ids=())
    assert len(ids) == len(logprobs) == 20
    assert text == tokenizer.decode(ids, skip_special_tokens=False)
    with torch.no_grad():
        expected = model(torch.tensor([prompt + ids])).log_softmax(-1)[0, len(prompt) - 1 : -1]
    for place, (token, logprob) in enumerate(zip(ids, logprobs, strict=True)):
        assert abs(expected[place, token].item() - logprob) < 1e-4


def test_the_seed_fixes_the_text_and_zero_temperature_needs_none(tokenizer: tokenizers.Tokenizer) -> None:
    model = network()
    long = [7, 8, 9] * 60  # cut at the front
    assert generate(model, tokenizer, long, max_tokens=8) == generate(model, tokenizer, long[-152:], max_tokens=8)
    drawn = [generate(model, tokenizer, "a", max_tokens=12, temperature=1.5, seed=seed)[1] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    greedy = [generate(model, tokenizer, "a", max_tokens=12, seed=seed)[1] for seed in (1, 2)]
    assert greedy[0] == greedy[1]
    nucleus = generate(model, tokenizer, "a", max_tokens=12, temperature=1.5, top_p=1e-6, seed=1)[1]
    assert nucleus == greedy[0]


def test_it_stops_where_told_and_leaves_the_stop_out_of_the_text(tokenizer: tokenizers.Tokenizer) -> None:
    model = network()
    _, ids, _ = generate(model, tokenizer, "a", max_tokens=12, stop_ids=())
    text, stopped, _ = generate(model, tokenizer, "a", max_tokens=12, stop_ids=(ids[3],))
    assert stopped == ids[: ids.index(ids[3]) + 1]
    assert text == tokenizer.decode(stopped[:-1], skip_special_tokens=False)
