"""YAML as DVC reads it: `off`, `on`, `yes` and `no` are words, as in YAML 1.2; PyYAML would make booleans of them."""

import re
from typing import Any, ClassVar

import yaml

_BOOL = "tag:yaml.org,2002:bool"
_FAST: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C, ten times as fast, where PyYAML was built with it


class Loader(_FAST):
    """The safe loader of params.yaml, dvc.lock and of a value in KEY=VALUE."""

    yaml_implicit_resolvers: ClassVar = {
        first: [(tag, form) for tag, form in resolvers if tag != _BOOL]
        for first, resolvers in _FAST.yaml_implicit_resolvers.items()
    }


Loader.add_implicit_resolver(_BOOL, re.compile("(?:true|True|TRUE|false|False|FALSE)$"), [*"tTfF"])


def load(text: str) -> Any:
    """What a YAML text holds. Raises `yaml.YAMLError`, or `ValueError` for a value that is none."""
    return yaml.load(text, Loader)
