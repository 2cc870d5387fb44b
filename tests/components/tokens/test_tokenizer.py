"""The tokenizer: `gigatoken` and `tokenizers` agree on everything, text comes back exact, training is deterministic."""

import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy
from tokenizers import Tokenizer

from components.tokens import tokenizer
from components.tokens.tokenizer import (
    SMALLEST_VOCABULARY,
    SPECIAL_TOKENS,
    Encoder,
    bytes_of_tokens,
    reference,
    train_bpe,
)
from tests.errors import refused, refuses

SOURCES = sorted(Path(scipy.__file__).parent.glob("stats/_*.py"))
VOCABULARY = 1500

TRICKY = [
    "",
    " ",
    "\r\n\r\n\tx  y   z    \n",
    "1234567890 + 12 = 1234567902; x_1 = 3.14e-10",
    "don't DON'T it's we've she'll 'tis \u2019tis",
    "na\u00efve cafe\u0301 \u0928\u092e\u0938\u094d\u0924\u0947 \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35",
    "\u543e\u8f29\u306f\u732b\u3067\u3042\u308b\u3002\u540d\u524d\u306f\u307e\u3060\u7121\u3044\u3002",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea \ufeff\x00\x01\x7f\u2028\u00a0\u3000",
    "a" * 5000,
    " " * 3000 + "x",
    "\n" * 3000,
    "-=" * 2000,
    " \n" * 1000,
    "<|endoftext|><|system|>be brief<|user|>hi<|assistant|>there<|end|> <|mask|>",
]
SIGNS = "aZé'ü1٣ \t\n\r\v\x1c\u00a0\u2003.,(_-§漢字\u0301😀\0"
"""Letters, digits, white space and signs, in ASCII and outside."""


@pytest.fixture(scope="module")
def corpus() -> list[str]:
    return [path.read_text() for path in SOURCES]


@pytest.fixture(scope="module")
def tokenizer_json(corpus: list[str]) -> str:
    return train_bpe(corpus, VOCABULARY).to_str()


@pytest.fixture(scope="module")
def encoder(tokenizer_json: str) -> Encoder:
    return Encoder(tokenizer_json)


def slow_ids(tokenizer_json: str, text: str) -> list[int]:
    return reference(tokenizer_json).encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("text", TRICKY, ids=range(len(TRICKY)))
def test_ids_are_those_of_tokenizers_on_tricky_text(tokenizer_json: str, encoder: Encoder, text: str) -> None:
    ids = encoder.encode(text)
    array = encoder.encode_array(text)
    assert ids == slow_ids(tokenizer_json, text) == array.tolist()
    assert array.dtype == np.uint32
    assert encoder.decode(ids) == text
    assert all(id >= len(SPECIAL_TOKENS) for id in ids)


@pytest.mark.slow
@pytest.mark.parametrize("every", [64, pytest.param(1, marks=pytest.mark.long)])
def test_every_code_point_is_cut_alike(tokenizer_json: str, encoder: Encoder, every: int) -> None:
    """All of the first two planes, where the classes are, and each 64th beyond; all there are if asked for.

    Oniguruma and gigatoken have their own Unicode tables: they must put each character in the same class.
    """
    slow = reference(tokenizer_json)
    chosen = [*range(0x20000), *range(0x20000, 0x110000, every)]
    points = [chr(point) for point in chosen if not 0xD800 <= point < 0xE000]
    for start in range(0, len(points), 50_000):
        for before, after in (("the", "ing"), (" ", " of"), ("1", "\n")):
            texts = [before + point + after for point in points[start : start + 50_000]]
            found = slow.encode_batch_fast(texts, add_special_tokens=False)
            for text, encoding in zip(texts, found, strict=True):
                assert encoding.ids == encoder.encode(text), repr(text)


def test_every_neighbourhood_of_kinds(tokenizer_json: str, encoder: Encoder) -> None:
    """Random strings, and all of three characters, of every class of which the pattern speaks."""
    chance = random.Random(1)
    texts = ["".join(chance.choice(SIGNS) for _ in range(chance.randrange(12))) for _ in range(30_000)]
    texts += [first + second + third for first in SIGNS for second in SIGNS for third in SIGNS]
    expected = [found.ids for found in reference(tokenizer_json).encode_batch_fast(texts, add_special_tokens=False)]
    found = [ids.tolist() for ids in encoder.encode_many(texts)]
    assert [text for text, one, other in zip(texts, found, expected, strict=True) if one != other] == []


def test_without_gigatoken_the_ids_are_the_same(
    monkeypatch: pytest.MonkeyPatch, tokenizer_json: str, encoder: Encoder
) -> None:
    assert type(encoder.encode_array.model).__name__ == "BPETokenizer"
    monkeypatch.setitem(sys.modules, "gigatoken.gigatoken_rs", None)  # importing it raises ImportError
    slow = Encoder(tokenizer_json)
    assert type(slow.encode_array.model).__name__ == "Tokenizer"
    for fast, found, text in zip(encoder.encode_many(TRICKY), slow.encode_many(TRICKY), TRICKY, strict=True):
        assert found.dtype == fast.dtype == np.uint32
        assert found.tolist() == fast.tolist() == slow.encode(text)


def test_what_the_encoder_remembers_is_bounded(
    monkeypatch: pytest.MonkeyPatch, tokenizer_json: str, corpus: list[str]
) -> None:
    monkeypatch.setattr(tokenizer, "RENEW_CHARS", len(corpus[0]) + len(corpus[1]))
    encoding = Encoder(tokenizer_json).encode_array
    first = encoding.model
    before = [encoding(corpus[0]), *encoding.encode_batch(corpus[1:2])]
    assert encoding.model is first
    assert [*before, *encoding.encode_batch(corpus[2:3])][-1].tolist() == slow_ids(tokenizer_json, corpus[2])
    assert encoding.model is not first


@pytest.mark.parametrize("threads", [2, 5])
def test_threads_change_no_id(
    monkeypatch: pytest.MonkeyPatch, corpus: list[str], tokenizer_json: str, encoder: Encoder, threads: int
) -> None:
    """With parts so small that every thread has many, and encodings that start anew in between."""
    expected = [ids.tolist() for ids in encoder.encode_many(corpus)]
    monkeypatch.setattr(tokenizer, "PART_CHARS", 20_000)
    monkeypatch.setattr(tokenizer, "RENEW_CHARS", 100_000)
    assert [ids.tolist() for ids in Encoder(tokenizer_json).encode_many(corpus, threads)] == expected


def test_very_long_runs_do_not_overflow_the_regex_stack(encoder: Encoder) -> None:
    for text in (" " * 400_000 + "x", "a" * 1_000_000, "\u4e2d" * 300_000, "\n" * 300_000):
        assert encoder.decode(encoder.encode_array(text)) == text


def test_layout_of_ids(tokenizer_json: str, encoder: Encoder) -> None:
    vocabulary = reference(tokenizer_json).get_vocab()
    assert [vocabulary[name] for name in SPECIAL_TOKENS] == list(range(7))
    assert encoder.vocab_size == len(vocabulary) == VOCABULARY
    singles = {encoder.token_bytes(id) for id in range(len(SPECIAL_TOKENS), SMALLEST_VOCABULARY)}
    assert singles == {bytes([byte]) for byte in range(256)}
    assert sorted(vocabulary.values()) == list(range(VOCABULARY))


def test_training_does_not_depend_on_threads(tmp_path: Path, tokenizer_json: str) -> None:
    code = (
        "import sys; from pathlib import Path; from components.tokens.tokenizer import train_bpe\n"
        "texts = [Path(path).read_text() for path in sys.argv[2:]]\n"
        f"sys.stdout.write(train_bpe(texts, {VOCABULARY}, int(sys.argv[1])).to_str())"
    )
    for threads in ("1", "3"):
        environment = os.environ | {"TOKENIZERS_PARALLELISM": "false", "PYTHONHASHSEED": threads}
        command = [sys.executable, "-c", code, threads, *map(str, SOURCES)]
        found = subprocess.run(command, env=environment, capture_output=True, check=True)
        assert found.stdout.decode() == tokenizer_json


def test_a_large_vocabulary_needs_text(corpus: list[str]) -> None:
    with refused("tokenizer._refuse_small", "tokenize.vocab_size = 4096", "set tokenize.vocab_size"):
        train_bpe([corpus[0][:5000]], 4096)
    refuses(lambda: train_bpe(["ab"], 300), "tokenizer._refuse_small", "tokenize.vocab_size = 300", "hardly any text")


def test_foreign_tokenizers_are_refused(tokenizer_json: str) -> None:
    refuses(lambda: Encoder(tokenizer_json.replace("<|mask|>", "[MASK]")), "tokenizer._ranks")
    refuses(lambda: Encoder(tokenizer_json.replace(r"\\s+(?!\\S)", r"\\s(?!\\S)")), "tokenizer._ranks")


def test_bytes_of_tokens_add_up_to_the_text(tokenizer_json: str) -> None:
    text = "Na\u00efve caf\u00e9, x \u2264 y:\n    return 1\n"
    sizes = bytes_of_tokens(Tokenizer.from_str(tokenizer_json))
    assert sizes[Encoder(tokenizer_json).encode(text)].sum() == len(text.encode())
    assert not sizes[: len(SPECIAL_TOKENS)].any()
