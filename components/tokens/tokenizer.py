"""The tokenizer: a byte-level BPE, trained and kept in the `tokenizers` format, run by `gigatoken`.

`tokenizer.json` is the artifact, because every tool reads it. `gigatoken` reads it too and gives the same ids tens of
times as fast as `tokenizers`; that they are the same is tested over a whole corpus and every Unicode code point, and
the tokenize stage checks a sample of what it writes. Where `gigatoken` has no wheel, `tokenizers` itself encodes. Ids:
the special tokens first, then the 256 bytes, then merges in the order learned.

Byte-level BPE: Sennrich et al. 2016 (arXiv:1508.07909), Radford et al. 2019 (GPT-2). The split pattern is that of Qwen
3.5 (its tokenizer.json): digits stand alone, so that arithmetic sees them, and combining marks belong to their letters,
so that Devanagari or decomposed accents are not cut apart.
"""

import json
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from components.core.errors import UserError
from components.tokens.chat_format import CHAT_TEMPLATE, ChatFormat

SPECIAL_TOKENS = ("<|endoftext|>", "<|pad|>", "<|mask|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
"""In the order of their ids. Their strings inside a text are encoded as plain text."""
END_OF_TEXT, PAD, MASK, SYSTEM, USER, ASSISTANT, END = range(len(SPECIAL_TOKENS))

CHAT = ChatFormat(
    begin=(END_OF_TEXT,),
    around={"system": ((SYSTEM,), ()), "user": ((USER,), ()), "assistant": ((ASSISTANT,), (END,))},
    template=CHAT_TEMPLATE,
)
"""How chats are written with these tokens."""

SMALLEST_VOCABULARY = len(SPECIAL_TOKENS) + 256

PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"  # English contractions
    r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+"  # a word, with the one space or sign before it
    r"|\p{N}"  # one digit
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"  # signs, with the line ends after them
    r"|\s*[\r\n]+"  # blank lines
    r"|\s+(?!\S)"  # indentation, but for the space that belongs to the next word
    r"|\s+"
)
"""How text is cut before merging: no token crosses these pieces. It is Qwen 3.5's published pattern to the letter:
llama.cpp and fast encoders know published patterns only. Oniguruma, gigatoken and llama.cpp cut alike by it."""

RENEW_CHARS = 64_000_000
"""Text after which an encoder is started anew: gigatoken 0.10 remembers every word met."""

PART_CHARS = 500_000
"""Text that a thread encodes at a time, or a whole document."""


def train_bpe(texts: Iterable[str], vocab_size: int, threads: int = 1) -> Tokenizer:
    """Learn a BPE of `vocab_size` tokens. The result does not depend on the number of threads.

    Args:
        threads: that count words and pairs; what was asked first in a process holds for all of it.

    Raises `UserError`: the texts hold too few different words for so many tokens.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    with _rayon(threads):
        tokenizer.train_from_iterator(texts, trainer)
    _refuse_small(tokenizer.get_vocab_size(), vocab_size)
    # As Llama 3's tokenizer.json does: a piece that is a token is that token, whatever the merges say.
    content = json.loads(tokenizer.to_str())
    content["model"]["ignore_merges"] = True
    return Tokenizer.from_str(json.dumps(content))


def with_beginning(tokenizer_json: str) -> str:
    """tokenizer.json of a causal model: a text gets `<|endoftext|>` before it, as every document in training did."""
    tokenizer, name = Tokenizer.from_str(tokenizer_json), SPECIAL_TOKENS[END_OF_TEXT]
    tokenizer.post_processor = processors.TemplateProcessing(f"{name} $A", f"{name} $A $B", [(name, END_OF_TEXT)])
    return tokenizer.to_str(pretty=True)


@contextmanager
def _rayon(threads: int) -> Iterator[None]:
    """Have `tokenizers` use threads, which the environment of our processes forbids: it has no other switch."""
    wanted = {"TOKENIZERS_PARALLELISM": str(threads > 1).lower(), "RAYON_NUM_THREADS": str(threads)}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _refuse_small(num_tokens: int, vocab_size: int) -> None:
    if num_tokens == vocab_size:
        return
    advice = f"set tokenize.vocab_size to at most {num_tokens}" if num_tokens >= 300 else "there is hardly any text"
    raise UserError(
        f"tokenize.vocab_size = {vocab_size}: the training text has pairs that repeat for only {num_tokens} tokens; "
        f"{advice}, or give the pipeline more text (tokenize.train_megabytes limits how much is used)"
    )


class Encoder:
    """Text to ids and back, from the content of a tokenizer.json made by `train_bpe`.

    Attributes:
        vocab_size: number of ids, special tokens included.
        chat: how chats are written.
        pad: the id that fills rows.
        stops: ids that end an answer.

    Raises `UserError`: the tokenizer is not one that `train_bpe` makes.
    """

    chat, pad, stops = CHAT, PAD, (END_OF_TEXT, END)

    def __init__(self, tokenizer_json: str) -> None:
        content = json.loads(tokenizer_json)
        ranks = _ranks(content)
        self.vocab_size = len(ranks) + len(SPECIAL_TOKENS)
        self._bytes = [name.encode() for name in SPECIAL_TOKENS] + sorted(ranks, key=ranks.__getitem__)
        self._begin = [END_OF_TEXT] if content.get("post_processor") else []
        # Without its added tokens: their strings inside a text are plain text.
        self._content = json.dumps(content | {"added_tokens": [], "post_processor": None})
        self.encode_array = Encoding(self._content)
        """Ids of a text, all of it taken as plain text: uint32."""
        self._idle = [self.encode_array]

    def encode(self, text: str) -> list[int]:
        """The same as a list."""
        return self.encode_array(text).tolist()

    def passage(self, text: str, context: int) -> list[int]:
        """Ids of a text to classify, at most `context`, as a causal model's texts begin."""
        return [*self._begin, *self.encode(text)][:context]

    def read(self, text: str, context: int) -> str:
        """The part of a text that `passage` gives the ids of."""
        return self.decode(self.passage(text, context)[len(self._begin) :])

    def encode_many(self, texts: Iterable[str], threads: int = 1) -> Iterator[np.ndarray]:
        """`encode_array` of each text, in order.

        Args:
            threads: each has an `Encoding` of its own, with what it remembers; they change no id.
        """
        with ThreadPoolExecutor(threads) as pool:
            for part in pool.map(self._encoded, parts_of(texts)):
                yield from part

    def _encoded(self, texts: list[str]) -> list[np.ndarray]:
        """In any thread, with an encoding that no other uses."""
        try:
            encoding = self._idle.pop()
        except IndexError:
            encoding = Encoding(self._content)
        encodings = encoding.encode_batch(texts)
        self._idle.append(encoding)
        return encodings

    def decode(self, ids: Iterable[int]) -> str:
        """Text of `ids`, special tokens by name; bytes that are no UTF-8 become U+FFFD."""
        return b"".join(self._bytes[id] for id in ids).decode("utf-8", "replace")

    def token_bytes(self, id: int) -> bytes:
        """The bytes a token stands for (of a special token: its name)."""
        return self._bytes[id]


def bytes_of_tokens(tokenizer: Tokenizer) -> np.ndarray:
    """UTF-8 bytes that each id stands for: int64 (vocabulary,), 0 for special tokens.

    In byte-level BPE a token has a character per byte.
    """
    sizes = np.array([len(tokenizer.id_to_token(id) or "") for id in range(tokenizer.get_vocab_size())], dtype=np.int64)
    sizes[[id for id, token in tokenizer.get_added_tokens_decoder().items() if token.special]] = 0
    return sizes


def parts_of(texts: Iterable[str]) -> Iterator[list[str]]:
    """The texts in order, so many together that they have `PART_CHARS`."""
    part, size = list[str](), 0
    for text in texts:
        part.append(text)
        size += len(text)
        if size >= PART_CHARS:
            yield part
            part, size = [], 0
    if part:
        yield part


class Encoding:
    """Texts to ids by `gigatoken`, or where that is not installed, by `tokenizers`.

    Args:
        content: of a tokenizer.json, without added tokens.
    """

    def __init__(self, content: str) -> None:
        self._content = content
        self._start()

    def _start(self) -> None:
        self._remembered = 0
        try:
            from gigatoken.gigatoken_rs import load_hf_json
        except ImportError:
            self.model: Any = Tokenizer.from_str(self._content)
        else:
            self.model = load_hf_json(self._content)

    def __call__(self, text: str) -> np.ndarray:
        """Ids of a text: uint32."""
        self._remember(len(text))
        if isinstance(self.model, Tokenizer):
            return np.array(self.model.encode(text, add_special_tokens=False).ids, np.uint32)
        return self.model.encode(text)

    def encode_batch(self, texts: list[str]) -> list[np.ndarray]:
        """Ids of each text. Other threads go on meanwhile, which they do not while a single text is encoded."""
        self._remember(sum(map(len, texts)))
        if isinstance(self.model, Tokenizer):
            rows = self.model.encode_batch_fast(texts, add_special_tokens=False)
            return [np.array(row.ids, np.uint32) for row in rows]
        rows = self.model.encode_batch(texts, parallel=False).layout  # an awkward array: all ids, and where texts end
        return np.split(np.asarray(rows.content.data), np.asarray(rows.offsets.data)[1:-1])

    def _remember(self, num_chars: int) -> None:
        self._remembered += num_chars
        if self._remembered > RENEW_CHARS:
            self._start()


def byte_ranks(tokenizer_json: str) -> dict[bytes, int]:
    """Bytes of every token that is not special, and its id: the merges in the form `tiktoken` takes.

    Raises `UserError`: the tokenizer is not one that `train_bpe` makes, so encoders might differ.
    """
    return _ranks(json.loads(tokenizer_json))


def _ranks(content: dict[str, Any]) -> dict[bytes, int]:
    special = {token["content"]: token["id"] for token in content["added_tokens"]}
    steps = (content.get("pre_tokenizer") or {}).get("pretokenizers", [])
    tokens = {token: id for token, id in content["model"]["vocab"].items() if token not in special}
    unprintable = byte_of_character()
    if (
        special != {name: id for id, name in enumerate(SPECIAL_TOKENS)}
        or PATTERN not in [step.get("pattern", {}).get("Regex") for step in steps]
        or content.get("normalizer")
        or unprintable.keys() - tokens.keys()
        or set().union(*tokens) - unprintable.keys()
    ):
        raise UserError(
            "tokenizer.json: not made by this version's tokenize stage (other pattern, special tokens or bytes); "
            "run it again"
        )
    return {bytes(unprintable[character] for character in token): id for token, id in tokens.items()}


def byte_of_character() -> dict[str, int]:
    """GPT-2's table, reversed: bytes that print stand for themselves, the others for the characters from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    table = {chr(byte): byte for byte in printable}
    return table | {chr(0x100 + index): byte for index, byte in enumerate(others)}


def reference(tokenizer_json: str) -> Tokenizer:
    """The same tokenizer run by `tokenizers`; special-token strings in texts are plain text."""
    tokenizer = Tokenizer.from_str(tokenizer_json)
    tokenizer.encode_special_tokens = True
    return tokenizer
