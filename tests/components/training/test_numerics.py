"""Products are in bfloat16 where the processor has them, and in float32, with a sentence, where it does not."""

import numpy as np
import pytest
import torch
from torch._dynamo.testing import CompileCounter

from components.model.generate import generate
from components.model.shape import derive_shape
from components.model.transformer import Transformer
from components.params import ModelShape, Numerics
from components.tokens.tokenizer import train_bpe
from components.training import likelihood, muon, objectives
from components.training import numerics as floats
from components.training.objectives import language_model_loss


@pytest.mark.parametrize("has", [True, False])
def test_products_have_the_type_that_the_processor_has(monkeypatch: pytest.MonkeyPatch, has: bool) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: has)
    half, whole = Numerics(), Numerics(dtype="float32")
    expected = torch.bfloat16 if has else torch.float32
    a = torch.ones(4, 4)
    with floats.autocast(half):
        assert (a @ a).dtype == expected
    with floats.autocast(whole):
        assert (a @ a).dtype == torch.float32
    assert muon.orthogonalised(torch.eye(4)[None]).dtype == expected
    assert ("computed in float32" in floats.replaced(half)) == (not has)
    assert floats.replaced(whole) == ""


def test_one_graph_serves_every_block_in_training_and_none_is_made_for_evaluation_and_samples() -> None:
    tokenizer = train_bpe([str(floats.__doc__) * 9], 280)
    counter = CompileCounter()
    shape = derive_shape(ModelShape(size=6, width=64, heads=2), tokenizer.get_vocab_size(), 64, causal=True)
    model = Transformer(shape).initialise(1)
    floats.compile_training(model, counter)
    ids = np.random.default_rng(0).integers(7, shape.vocab_size, (2, 65))
    for _ in range(2):
        model.train()
        language_model_loss(model, objectives.causal(ids)).backward()
        model.eval()
        for length in (9, 17, 33):
            likelihood.score(model, [likelihood.next_tokens(ids[0, :length])])
        generate(model, tokenizer, [0, 9, 10], max_tokens=5)
    assert 1 <= counter.frame_count <= 3
