"""The tokenizer: a byte-level BPE, trained and kept in the `tokenizers` format, run by `tiktoken` with the same merges.

`tokenizer.json` is the artifact, because every tool reads it. For whole corpora `tiktoken` gives the same ids several
times faster; that they are the same is tested over a whole corpus and every Unicode code point, and the tokenize stage
checks a sample of what it writes. Ids: the special tokens first, then the 256 bytes, then merges in the order learned.

Byte-level BPE: Sennrich et al. 2016 (arXiv:1508.07909), Radford et al. 2019 (GPT-2). The split pattern is that of Qwen
3.5 (its tokenizer.json): digits stand alone, so that arithmetic sees them, and combining marks belong to their letters,
so that Devanagari or decomposed accents are not cut apart.
"""

import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from components.core.errors import UserError
from components.tokens.cached_encoder import UnitEncoder, blocks
from components.tokens.chat_format import CHAT_TEMPLATE, ChatFormat

SPECIAL_TOKENS = ("<|endoftext|>", "<|pad|>", "<|mask|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
"""In the order of their ids. Their strings inside a text are encoded as plain text, never as these."""
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
llama.cpp and fast encoders know published patterns only. Oniguruma, fancy-regex and llama.cpp cut alike by it."""


def train_bpe(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Learn a BPE of `vocab_size` tokens. The result does not depend on the number of threads.

    Raises:
        UserError: the texts hold too few different words for so many tokens.
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
    tokenizer.train_from_iterator(texts, trainer)
    _refuse_small(tokenizer.get_vocab_size(), vocab_size)
    # As tiktoken does (and Llama 3's tokenizer.json): a piece that is a token is that token, whatever the merges say.
    content = json.loads(tokenizer.to_str())
    content["model"]["ignore_merges"] = True
    return Tokenizer.from_str(json.dumps(content))


def _refuse_small(found: int, vocab_size: int) -> None:
    if found == vocab_size:
        return
    advice = f"set tokenize.vocab_size to at most {found}" if found >= 300 else "there is hardly any text"
    raise UserError(
        f"tokenize.vocab_size = {vocab_size}: the training text has pairs that repeat for only {found} tokens; "
        f"{advice}, or give the pipeline more text (tokenize.train_megabytes limits how much is used)"
    )


class Encoder:
    """Text to ids and back, by `tiktoken`, from the content of a tokenizer.json made by `train_bpe`.

    Attributes:
        vocab_size: number of ids, special tokens included.
        chat: how chats are written.
    """

    chat = CHAT

    def __init__(self, tokenizer_json: str) -> None:
        import tiktoken

        ranks = byte_ranks(tokenizer_json)
        self.vocab_size = len(ranks) + len(SPECIAL_TOKENS)
        self._special = {name: id for id, name in enumerate(SPECIAL_TOKENS)}
        self._plain = tiktoken.Encoding("greenhouse", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={})
        self._local = threading.local()
        self._bytes = [name.encode() for name in SPECIAL_TOKENS] + sorted(ranks, key=ranks.__getitem__)

    def encode(self, text: str) -> list[int]:
        """Ids of `text`, all of it taken as plain text."""
        return self._plain.encode_ordinary(text)

    def encode_array(self, text: str) -> np.ndarray:
        """The same as uint32 array, without a Python list in between."""
        return self._plain.encode_to_numpy(text, disallowed_special=())

    def encode_many(self, texts: Sequence[str], workers: int = 1) -> Iterator[np.ndarray]:
        """`encode_array` of each text, in order, on `workers` threads; ids of words are cached (cached_encoder.py)."""
        if workers == 1:
            for block in blocks(texts):
                yield from self._cached_encoder().encode(block)
            return
        with ThreadPoolExecutor(workers) as pool:
            for encoded in pool.map(lambda block: self._cached_encoder().encode(block), blocks(texts)):
                yield from encoded

    def _cached_encoder(self) -> UnitEncoder:
        """This thread's caching encoder."""
        if not hasattr(self._local, "encoder"):
            lengths = np.array([len(token) for token in self._bytes], dtype=np.int64)
            self._local.encoder = UnitEncoder(self.encode_array, lengths)
        return self._local.encoder

    def decode(self, ids: Iterable[int]) -> str:
        """Text of `ids`; special tokens by name; bytes that are no UTF-8 (a cut character) become U+FFFD."""
        return b"".join(self._bytes[id] for id in ids).decode("utf-8", "replace")

    def token_bytes(self, id: int) -> bytes:
        """The bytes a token stands for (of a special token: its name)."""
        return self._bytes[id]


def byte_ranks(tokenizer_json: str) -> dict[bytes, int]:
    """Bytes of every token that is not special, and its id: the merges in the form `tiktoken` takes.

    Raises:
        UserError: the tokenizer is not one that `train_bpe` makes, so ids by `tiktoken` might differ.
    """
    content = json.loads(tokenizer_json)
    special = {token["content"]: token["id"] for token in content["added_tokens"]}
    patterns = [step.get("pattern", {}).get("Regex") for step in content["pre_tokenizer"].get("pretokenizers", [])]
    if (
        special != {name: id for id, name in enumerate(SPECIAL_TOKENS)}
        or PATTERN not in patterns
        or content["normalizer"]
    ):
        raise UserError(
            "tokenizer.json: not made by this version's tokenize stage (other pattern or special tokens); run it again"
        )
    unprintable = _byte_of_character()
    vocabulary = content["model"]["vocab"].items()
    return {
        bytes(unprintable[character] for character in token): id for token, id in vocabulary if token not in special
    }


def _byte_of_character() -> dict[str, int]:
    """GPT-2's table, reversed: bytes that print stand for themselves, the others for the characters from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    table = {chr(byte): byte for byte in printable}
    return table | {chr(0x100 + index): byte for index, byte in enumerate(others)}


def reference(tokenizer_json: str) -> Tokenizer:
    """The same tokenizer run by `tokenizers`, with special-token strings in texts taken as plain text."""
    tokenizer = Tokenizer.from_str(tokenizer_json)
    tokenizer.encode_special_tokens = True
    return tokenizer
