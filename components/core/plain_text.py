"""Text of strangers as text: all of it in a JSON value, and control characters written out.

A terminal obeys those, and a page hides them.
"""

import re
from collections.abc import Iterator
from typing import Any

from greenhouse_record.errors import plain

__all__ = ["abbreviated", "counted", "plain", "plain_name", "strings_in", "without_quotations"]
_QUOTED = re.compile(r"`(?!greenhouse |dvc )[^`\n]{40,}`")
"""Long text in back quotes that is no command of ours."""


def plain_name(text: str) -> str:
    """The same of a name, which has one line."""
    return plain(text).replace("\n", "\\n").replace("\t", "\\t")


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun: `1 document`, `2,464 documents`."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def abbreviated(text: str, most: int) -> str:
    """A text of at most `most` characters: where it is cut, it ends with an ellipsis."""
    return text if len(text) <= most else text[: most - 1] + "…"


def without_quotations(page: str) -> str:
    """A page in Markdown without long quotations, for where it can't be found and deleted again: Prefect's database."""
    return _QUOTED.sub("`...`", page)


def strings_in(value: Any) -> Iterator[str]:
    """Every text inside a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from strings_in(inner)
