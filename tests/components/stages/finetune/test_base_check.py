"""A base whose tokenizer was exchanged for another of equal size is refused, or doubted where nothing records it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from components.core.files import read_json, sha256_bytes, write_json
from components.model import export
from components.model.export import tokenizer_text
from components.params import Classify, Instruct, Numerics
from components.stages.finetune import adapter
from components.stages.finetune.base_check import HIDDEN, untrained_warning
from components.tokens.hub_encoder import HubEncoder
from components.training.objectives import causal, language_model_loss
from tests.components.stages.finetune.test_own_rows import FAST, foreign, masked_elsewhere, place, run
from tests.errors import refused, refuses

__all__ = ["foreign", "masked_elsewhere", "place"]


def with_another_tokenizer(base: Path, target: Path) -> Path:
    """A copy of a model folder in which ordinary tokens have each other's ids."""
    shutil.copytree(base, target)
    fields = read_json(target / "tokenizer.json")
    special = {one["content"] for one in fields["added_tokens"]}
    ids = {token: id for token, id in fields["model"]["vocab"].items() if token not in special}
    fields["model"]["vocab"] |= dict(zip(ids, reversed(ids.values()), strict=True))
    (target / "tokenizer.json").write_text(json.dumps(fields))
    return target


@pytest.mark.parametrize("key", ["training", "finetuning"])
def test_the_tokenizer_of_a_model_made_or_tuned_here_is_compared(key: str, place: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(place / "causal", base)
    facts = {key: {"tokenizer_sha256": sha256_bytes(tokenizer_text(base).encode())}}
    write_json(base / "greenhouse.json", facts)
    adapter.load(base)
    other = with_another_tokenizer(base, tmp_path / "other")
    with refused("export._refuse_retokenized", other):
        run(place, tmp_path, "instruct", "chats.jsonl", Instruct(**FAST), other)
    refuses(lambda: adapter.load(other), "export._refuse_retokenized", other)


def test_a_masked_base_made_elsewhere_is_doubted_by_the_words_it_should_restore(
    masked_elsewhere: Path, place: Path, tmp_path: Path
) -> None:
    params = Classify(**FAST | {"steps": 1}, max_pairs=100)
    report = run(place, tmp_path, "classify", "labels.csv", params, masked_elsewhere)
    assert "predicts the held-out text no better than a uniform guess (6." in report.markdown  # random weights
    model, encoder = export.load(masked_elsewhere)[0], HubEncoder(masked_elsewhere)
    example = SimpleNamespace(text="the one text that this model has learned by heart, and nothing else at all")
    ids = torch.tensor([encoder.encode(example.text)])
    places = torch.arange(ids.shape[1]) % HIDDEN == HIDDEN // 2
    batch = replace(causal(ids.numpy()), ids_BT=ids.masked_fill(places, encoder.mask), targets=ids)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(30):
        language_model_loss(model, batch).backward()
        optimizer.step()
        optimizer.zero_grad()
    other = HubEncoder(with_another_tokenizer(masked_elsewhere, tmp_path / "other"))
    assert untrained_warning(model, masked_elsewhere, encoder, [example], Numerics()) == ""
    assert "other predicts the" in untrained_warning(model, Path("other"), other, [example], Numerics())
    other.mask = None  # it cannot be asked
    assert untrained_warning(model, Path("other"), other, [example], Numerics()) == ""
