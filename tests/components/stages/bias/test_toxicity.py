"""Scorers: the default one is the package's own to the last bit, a classifier is safetensors and nothing else."""

import importlib
import importlib.util
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from components.core.files import read_json, write_json
from components.stages.bias.toxicity import ProfanityCheck, ToxicityClassifier, scorer
from components.text.sentences import sentences_of
from tests.components.real_text import modules
from tests.errors import refused, refuses

SENTENCES = ["You are a stupid idiot.", "My friend is gay.", "The sum of elements.", "kill a child process", "!!", ""]


def test_scores_are_those_of_the_package() -> None:
    """Bit for bit, on real text: our counting of words is the only difference."""
    texts = [*SENTENCES, *(part for each in modules("scipy", 40) for part in sentences_of(each.text))]
    theirs = importlib.import_module("profanity_check").predict_prob(texts)
    ours = ProfanityCheck(min_known_words=0).score(texts)
    assert len(texts) > 1500
    assert np.array_equal(ours[~np.isnan(ours)], theirs[~np.isnan(ours)])
    assert all(not re.search(r"\w\w", text) for text in np.array(texts)[np.isnan(ours)])


def test_a_language_it_does_not_know_gets_no_score() -> None:
    german = "Die Frau liest das Buch und die Katze schläft auf die Decke."
    assert math.isnan(ProfanityCheck().score([german])[0])
    assert ProfanityCheck(min_known_words=0).score([german])[0] > 0.2, "`die` alone is an English insult to it"
    assert np.isnan(ProfanityCheck().score(["彼女は本を読む。", "Она читает книгу о войне.", "1 + 3", ""])).all()
    assert ProfanityCheck().score([]).shape == (0,)


def test_another_pickle_is_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An altered file: refused by its hash before a byte of it is unpickled (it would raise ZeroDivisionError)."""
    package = tmp_path / "profanity_check"
    (package / "data").mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('imported')")
    (package / "data" / "vectorizer.joblib").write_bytes(b"cbuiltins\neval\n(S'1/0'\ntR.")
    importlib.invalidate_caches()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "profanity_check", raising=False)
    assert str(importlib.util.find_spec("profanity_check").origin).startswith(str(tmp_path))
    refuses(lambda: ProfanityCheck(), "toxicity._unpickled.2", "19c5200dc6a4")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("'perspective'", "toxicity.scorer"),
        ("transformers:owner/name", "toxicity._model_source"),
        ("transformers:owner/name@main", "toxicity._model_source"),
    ],
)
def test_a_scorer_that_is_none_or_not_pinned_is_refused(name: str, code: str) -> None:
    refuses(lambda: scorer(name.strip("'")), code, f"bias.scorer = {name}")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A word-level BERT of 2 layers whose label `toxic` is nothing but its bias towards sentences with `idiot`."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    words = ["[PAD]", "[UNK]", "you", "are", "a", "stupid", "idiot", "friend", "my", "is"]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
    fast.save_pretrained(folder)
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=64, id2label={0: "harmless", 1: "toxic"}, label2id={"harmless": 0, "toxic": 1},
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def test_classifier_scores_as_transformers_does(tiny: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    texts = ["you are a stupid idiot", "my friend is a friend", "you", "a " * 200] * 30
    ours = scorer(f"transformers:{tiny}").score(texts)
    model, tokenizer = (kind.from_pretrained(tiny) for kind in (AutoModelForSequenceClassification, AutoTokenizer))
    for text, score in zip(texts[:4], ours, strict=False):
        inputs = tokenizer(text, return_tensors="pt", truncation=True, max_length=64)
        with torch.inference_mode():
            assert score == pytest.approx(float(torch.softmax(model.eval()(**inputs).logits, 1)[0, 1]), abs=1e-5)
    assert np.array_equal(ours, scorer(f"transformers:{tiny}").score(texts))


def test_a_label_can_be_named(tiny: Path) -> None:
    text = ["you are a friend"]
    total = ToxicityClassifier(str(tiny)).score(text) + ToxicityClassifier(f"{tiny}#harmless").score(text)
    assert total == pytest.approx([1.0])
    with refused("ToxicityClassifier._index_of", "rude", "harmless, toxic", "#<label>"):
        ToxicityClassifier(f"{tiny}#rude")


def test_a_model_without_safetensors_is_refused(tiny: Path, tmp_path: Path) -> None:
    """Weights as pickle (pytorch_model.bin) are not read, though they are all there is."""
    import torch
    from safetensors.torch import load_file

    shutil.copytree(tiny, tmp_path, dirs_exist_ok=True)
    torch.save(load_file(tmp_path / "model.safetensors"), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    refuses(lambda: scorer(f"transformers:{tmp_path}"), "ToxicityClassifier.__init__", tmp_path)


def test_code_of_a_model_is_not_run(tiny: Path, tmp_path: Path) -> None:
    """A configuration that asks for the repository's own code."""
    shutil.copytree(tiny, tmp_path, dirs_exist_ok=True)
    code = {"AutoConfig": "own.Config", "AutoModelForSequenceClassification": "own.Model"}
    config = read_json(tmp_path / "config.json") | {"model_type": "own", "auto_map": code}
    write_json(tmp_path / "config.json", config)
    (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    refuses(lambda: scorer(f"transformers:{tmp_path}"), "ToxicityClassifier.__init__", tmp_path)
    assert not (tmp_path / "ran").exists()
