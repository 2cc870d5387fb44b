"""Encoder of a tokenizer that was not made here: any byte-level `tokenizer.json`, run by `tokenizers`.

It has the members of `Encoder` (tokenizer.py) that fine-tuning needs, so that a base from the hub is tuned by the same
code.
"""

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from components.core.errors import UserError, clause
from components.core.files import read_fields
from components.tokens.chat_format import CHATML_TEMPLATE, ENDED_TEMPLATE, ChatFormat
from components.tokens.tokenizer import SPECIAL_TOKENS, Encoder, byte_of_character

IM_START, IM_END = "<|im_start|>", "<|im_end|>"
WHOLE_COPY = "get a whole copy of the folder"


class HubEncoder:
    """Text to ids and back.

    Attributes:
        vocab_size: number of ids.
        pad: the id that fills rows.
        mask: the id that hides a token, if the tokenizer has one.
        stops: ids that end an answer.
        chat: ChatML, if the tokenizer has its tokens, else lines that end with its end of text.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # `tokenizers` raises nothing narrower
            raise UserError(f"{folder}: tokenizer.json is damaged ({clause(error)}); {WHOLE_COPY}") from None
        self._tokenizer.no_padding()  # a file may ask for a fixed length, as sentence-transformers' do
        self._tokenizer.no_truncation()
        self._tokenizer.encode_special_tokens = True  # their names inside a text are plain text
        self.vocab_size = self._tokenizer.get_vocab_size()
        ids = special_ids(folder, self._tokenizer)
        self._path, self._eos = folder / "tokenizer.json", ids.get("eos_token")
        self.pad, self.mask = ids.get("pad_token", self._eos or 0), ids.get("mask_token")
        ends = (self._eos, self._tokenizer.token_to_id(IM_END))
        self.stops = tuple(sorted({id for id in ends if id is not None}))
        self._name, self._begin = folder.name, (ids["bos_token"],) if "bos_token" in ids else ()
        self._bytes = byte_of_character()

    @cached_property
    def chat(self) -> ChatFormat:
        """How chats are written.

        Raises:
            UserError: the tokenizer lacks the tokens of ChatML, and an end of text or pieces that stand for themselves.
        """
        start, end = (self._tokenizer.token_to_id(token) for token in (IM_START, IM_END))
        line, roles = tuple(self.encode("\n")), ("system", "user", "assistant")
        if start is not None and end is not None:
            around = {role: ((start, *self.encode(role), *line), (end, *line)) for role in roles}
            return ChatFormat(self._begin, around, CHATML_TEMPLATE, strips=True)
        if self._eos is None or not self._cuts_at_lines():
            raise UserError(
                f"{self._name}: tokenizer.json has no {IM_START} and {IM_END}, by which a chat is written, nor does it "
                "cut lines alike alone and in a text that ends with its eos_token; take a base with a byte-level "
                "tokenizer, as those of Llama 3, Qwen, SmolLM and GPT-2 are"
            )
        around = {role: ((*self.encode(role), *line), (self._eos, *line)) for role in roles}
        return ChatFormat(self._begin, around, ENDED_TEMPLATE, strips=True)

    def _cuts_at_lines(self) -> bool:
        """Whether the ids of a chat are those of its parts: `transformers` encodes the whole."""
        whole = Tokenizer.from_file(str(self._path))  # it reads special tokens, as that of `transformers` does
        lines, end = ["user", "\n", "Is it so?", "assistant", "\n", "1, yes."], whole.id_to_token(self._eos or 0)
        text = f"user\nIs it so?{end}\nassistant\n1, yes.{end}\n"
        parts = [self.encode(line) for line in lines]
        ended = [*parts[0], *parts[1], *parts[2], self._eos, *parts[1], *parts[3], *parts[4], *parts[5], self._eos]
        return whole.encode(text, add_special_tokens=False).ids == [*ended, *parts[1]]

    def encode(self, text: str) -> list[int]:
        """Ids of `text`, all of it taken as plain text."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def passage(self, text: str, context: int) -> list[int]:
        """Ids of a text to classify, at most `context`, with what the tokenizer puts around it."""
        return list(self._cut(text, context).ids)

    def read(self, text: str, context: int) -> str:
        """The part of a text that `passage` gives the ids of."""
        ids = self._cut(text, context)
        return text[: max(end for _, end in ids.offsets)] if ids.overflowing else text

    def _cut(self, text: str, context: int) -> Any:
        self._tokenizer.enable_truncation(context)
        encoding = self._tokenizer.encode(text)
        self._tokenizer.no_truncation()
        return encoding

    def decode(self, ids: Iterable[int]) -> str:
        """Text of `ids`, special tokens by name."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))

    def token_bytes(self, id: int) -> bytes:
        """The bytes a token stands for (of one that is no byte-level token: its name)."""
        name = self._tokenizer.id_to_token(id) or ""
        known = all(character in self._bytes for character in name)
        return bytes(self._bytes[character] for character in name) if known else name.encode()


def special_ids(folder: Path, tokenizer: Tokenizer) -> dict[str, int]:
    """Role, such as `pad_token` -> id, of the special tokens that the folder's tokenizer_config.json names."""
    path = folder / "tokenizer_config.json"
    fields = read_fields(path, WHOLE_COPY) if path.exists() else {}
    named = {role: one.get("content") if isinstance(one, dict) else one for role, one in fields.items()}
    texts = {role: one for role, one in named.items() if role.endswith("_token") and isinstance(one, str)}
    return {role: id for role, one in texts.items() if (id := tokenizer.token_to_id(one)) is not None}


AnyEncoder = Encoder | HubEncoder


def encoder_of(folder: Path) -> AnyEncoder:
    """The encoder of a model folder: ours, for a tokenizer with our special tokens, else `tokenizers`' own."""
    tokenizer_json = (folder / "tokenizer.json").read_text(encoding="utf-8")
    added = read_fields(folder / "tokenizer.json", WHOLE_COPY).get("added_tokens", [])
    special = {one["content"] for one in added}
    return Encoder(tokenizer_json) if special >= set(SPECIAL_TOKENS) else HubEncoder(folder)
