"""Text of strangers as text: all of it in a JSON value, and control characters written out.

A terminal obeys those, and a page hides them.
"""

import re
from collections.abc import Iterator
from typing import Any

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""C0 and C1 but tab and newline, separators of lines, marks that turn the direction of text, lone surrogates."""


def plain(text: str) -> str:
    r"""`text` with each control character as Python writes it: `\x1b`."""
    return text if text.isascii() and text.isprintable() else _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def plain_name(text: str) -> str:
    """The same of a name, which has one line."""
    return plain(text).replace("\n", "\\n").replace("\t", "\\t")


def strings_in(value: Any) -> Iterator[str]:
    """Every text inside a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from strings_in(inner)
