"""Text of params.yaml and defaults.yaml as they ship: each key with its value and, as a comment, its description.

In the layout of ruamel.yaml, with which `dvc exp run -S` writes both: null is an empty value, a list has a line per
entry, its dash under the key. So an experiment changes no line but those of its keys.
"""

from typing import Any

import yaml

from components.params.layout import file_keys

PARAMS_HEAD = """\
# The demo: all stages in about five minutes on two cores and 4 GB. Keys that few people change are in defaults.yaml;
# one of them written here, under the same sections, wins over its value there (docs/params.md).
"""
DEFAULTS_HEAD = """\
# Written from the schema (components/params/) by `python -m flows.configure --defaults`. To change a value, add its key
# to params.yaml. Stages depend on both files, so a default that changes makes its stages stale (docs/params.md).
"""


def params_text() -> str:
    """params.yaml as it ships."""
    return PARAMS_HEAD + _text(advanced=False)


def defaults_text() -> str:
    """defaults.yaml."""
    return DEFAULTS_HEAD + _text(advanced=True)


def _text(advanced: bool) -> str:
    keys = file_keys()
    lines: list[str] = []
    for key, one in keys.items():
        depth = key.count(".")
        below = any(k.startswith(f"{key}.") and not v.section and v.advanced == advanced for k, v in keys.items())
        empty = not advanced and key.startswith("pretrain.") and depth == 1 and not below  # DVC wants the branch itself
        if not (below or empty if one.section else one.advanced == advanced):
            continue
        # Not after a list: the dump takes the blank line for a part of it, and drops it with the list.
        lines += [""] * (depth == 0 and not (lines and lines[-1].lstrip().startswith("- ")))
        entries = one.value if isinstance(one.value, list) else []
        block = _block(one.value)
        shown = ("" if below else "{}") if one.section else written(one.value)
        shown = "" if entries or block or (one.value is None and not one.section) else shown
        lines.append("  " * depth + f"{key.rpartition('.')[2]}:{' ' * bool(shown)}{shown}  # {one.description}")
        lines += ["  " * depth + line for entry in entries for line in _entry(entry)]
        lines += ["  " * (depth + 1) + line for line in block]
    return "\n".join(lines) + "\n"


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
