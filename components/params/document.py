"""Text of params.yaml and defaults.yaml as they ship: each key with its value and, as a comment, its description.

In the layout of ruamel.yaml, with which `dvc exp run -S` writes both: null is an empty value, a list has a line per
entry, its dash under the key. So an experiment changes no line but those of its keys.
"""

from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

import yaml

from components.params.layout import SHOWN, FileKey, file_keys, source_defaults

PARAMS_HEAD = """\
# The demo: all stages in about five minutes on two cores and 4 GB. These are the keys that people change most. Any key
# of defaults.yaml can be added here, under the same sections; an empty value follows from the size (docs/guide.md).
"""
DEFAULTS_HEAD = """\
# For DVC alone, which makes stages stale when a default changes: written from the schema (components/params/), never
# edited. To change a value, write its key into params.yaml.
"""


def params_text() -> str:
    """params.yaml as it ships."""
    return PARAMS_HEAD + _text(file_keys(), SHOWN)


@cache
def defaults_text() -> str:
    """defaults.yaml: every key, and what an entry of `ingest.sources` may leave out."""
    kinds = FileKey("Keys that an entry of `sources` may leave out, by its kind.", value=source_defaults())
    keys = dict[str, FileKey]()
    for key, one in file_keys().items():
        keys[key] = one
        if key == "ingest.sources":
            keys["ingest.source_defaults"] = kinds
    return DEFAULTS_HEAD + _text(keys, [key for key, one in keys.items() if not one.section])


def _text(keys: Mapping[str, FileKey], shown: Collection[str]) -> str:
    """The keys in `shown`, and each section that has one of them or that DVC looks for (a branch, if empty)."""
    lines: list[str] = []
    for key, one in keys.items():
        depth = key.count(".")
        below = any(name.startswith(f"{key}.") for name in shown)
        branch = key.startswith("pretrain.") and depth == 1
        if not (below or branch if one.section else key in shown):
            continue
        # Not after a list: the dump takes the blank line for a part of it, and drops it with the list.
        if depth == 0 and not (lines and lines[-1].lstrip().startswith("- ")):
            lines.append("")
        empty = "{}" if one.section and not below else ""
        lines += _lines(key.rpartition(".")[2], one.value, empty, one.description, depth)
    return "\n".join(lines) + "\n"


def _lines(name: str, value: Any, section: str, description: str, depth: int) -> list[str]:
    """Lines of a key or section at a depth of the tree."""
    entries = value if isinstance(value, list) else []
    block = _block(value)
    shown = section
    if value is not None and not entries and not block:
        shown = written(value)
    head = f"{name}: {shown}" if shown else f"{name}:"
    below = [*(line for entry in entries for line in _entry(entry)), *(f"  {line}" for line in block)]
    return ["  " * depth + line for line in (f"{head}  # {description}", *below)]


def _entry(value: Any) -> list[str]:
    """An entry of a list as a block."""
    lines = (
        [f"{name}: {written(part)}" for name, part in value.items()] if isinstance(value, dict) else [written(value)]
    )
    return [f"{'  ' if number else '- '}{line}" for number, line in enumerate(lines)]


def _block(value: Any) -> list[str]:
    """Lines of a mapping of mappings; none of any other value."""
    if not isinstance(value, dict) or not value or not all(isinstance(part, dict) for part in value.values()):
        return []
    text = yaml.dump(value, Dumper=_Dumper, default_flow_style=False, width=10_000, sort_keys=False, allow_unicode=True)
    return str(text).splitlines()


class _Dumper(yaml.SafeDumper):
    """YAML with large floats as powers of ten."""


def number(value: float) -> str:
    """A float as YAML 1.1 and 1.2 read it, large ones as powers of ten: `0.001`, `2.5e+11`."""
    text = repr(value)
    if abs(value) >= 1e9:
        exponent = len(str(int(abs(value)))) - 1
        text = f"{value / 10**exponent!r}e+{exponent}"
    return text if float(text) == value and "." in text else yaml.safe_dump(value).split()[0]


_Dumper.add_representer(float, lambda dumper, value: dumper.represent_scalar("tag:yaml.org,2002:float", number(value)))


def written(value: Any) -> str:
    """A value as YAML on one line."""
    text = yaml.dump(value, Dumper=_Dumper, default_flow_style=True, width=10_000, sort_keys=False, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")
