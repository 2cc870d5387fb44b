"""`UserError`: an error that the user can fix, in one sentence; what a terminal shows of it obeys no one."""

from __future__ import annotations

import re

MOST_CHARS = 1500
"""Of a message."""
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""C0 and C1 but tab and newline, separators of lines, marks that turn the direction of text, lone surrogates."""


class UserError(Exception):
    """Error that the user can fix. The message is one sentence: what, where, limit, what to do.

    It may quote names from outside; a terminal that shows it obeys none of them, and of a long one the middle is cut.
    """

    def __str__(self) -> str:
        text = super().__str__()
        return plain(
            text if len(text) <= MOST_CHARS else f"{text[: MOST_CHARS * 2 // 3]} ... {text[-MOST_CHARS // 4 :]}"
        )


def clause(error: BaseException, length: int = 200) -> str:
    """The message of an error of others as a clause of a sentence: on one line, cut; its type's name if it has none."""
    return " ".join(str(error).split())[:length] or type(error).__name__


def plain(text: str) -> str:
    r"""`text` with each control character as Python writes it: `\x1b`."""
    return text if text.isascii() and text.isprintable() else _CONTROL.sub(lambda match: ascii(match[0])[1:-1], text)
