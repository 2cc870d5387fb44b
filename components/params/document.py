"""Text of params.yaml and defaults.yaml as they ship: each key with its value and, as a comment, its description."""

from typing import Any

import yaml

from components.params.layout import FileKey, file_keys

PARAMS_HEAD = """\
# The demo: all stages in at most five minutes on two cores and 4 GB. Keys that few people change are in defaults.yaml;
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
    lines = []
    for key, one in keys.items():
        depth = key.count(".")
        below = any(k.startswith(f"{key}.") and not v.section and v.advanced == advanced for k, v in keys.items())
        empty = not advanced and key.startswith("pretrain.") and depth == 1 and not below  # DVC wants the branch itself
        if not (below or empty if one.section else one.advanced == advanced):
            continue
        lines += [""] * (depth == 0)
        lines.append("  " * depth + _line(key, one, "" if below else "{}"))
        if key == "ingest.sources":
            lines[-1:] = ["  " * depth + f"sources:  # {one.description}", *_entries(one.value)]
    return "\n".join(lines) + "\n"


def _line(key: str, one: FileKey, value: str) -> str:
    shown = value if one.section else written(one.value)
    return f"{key.rpartition('.')[2]}:{' ' * bool(shown)}{shown}  # {one.description}"


def _entries(sources: list[dict[str, Any]]) -> list[str]:
    """A list of mappings as a block."""
    lines = []
    for source in sources:
        first, *rest = [f"{name}: {written(value)}" for name, value in source.items()]
        lines += [f"    - {first}", *(f"      {line}" for line in rest)]
    return lines


class _Dumper(yaml.SafeDumper):
    """YAML on one line, with large floats as powers of ten."""


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
