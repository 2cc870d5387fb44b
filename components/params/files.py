"""Reading params.yaml: laid over the defaults of the schema, checked to be whole, and validated."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from components.core.errors import UserError, clause
from components.params import yaml_text
from components.params.document import defaults_text, written
from components.params.layout import SHOWN, Tree, contains, default_tree, file_keys, overlaid, resolved, written_key
from components.params.root import Params, error_sentence

DEFAULTS = "defaults.yaml"


@dataclass(frozen=True)
class ParamFiles:
    """Contents of a params.yaml.

    Attributes:
        own: its tree, with the overlays.
        path: its path, for messages.
    """

    own: Tree
    path: Path

    def overlaid(self, over: Mapping[str, Any]) -> "ParamFiles":
        """The same with the values of `over`, a tree as params.yaml has it, put over it."""
        return ParamFiles(self._merged(self.own, over), self.path)

    def _merged(self, tree: Tree, over: Mapping[str, Any]) -> Tree:
        try:
            return overlaid(tree, over)
        except RecursionError:
            raise UserError(f"{self.path}: a value holds itself, by an alias (*) of its own anchor (&); write it out"
                            ) from None  # fmt: skip

    def params(self) -> Params:
        """The effective values.

        Raises `UserError`: a key is missing, unknown, or has a value out of range.
        """
        tree = self._merged(default_tree(), self.own)
        try:
            params = Params.model_validate(resolved(tree))
        except ValidationError as error:
            if all(entry["input"] is None for entry in error.errors()):  # a file cut between a key and its list
                self._refuse_missing()
            raise UserError(self._explained(error)) from None
        self._refuse_missing()
        return params

    def _refuse_missing(self) -> None:
        """A file that lacks a key which it ships with was cut, or is of another version."""
        missing = [key for key in SHOWN if not contains(self.own, key)]
        if not missing:
            return
        key = missing[0]
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise UserError(
            f"{self.path}: {key} is missing{more}: the file is cut or incomplete; add "
            f"`{key}: {written(file_keys()[key].value)}`, or put all keys back as they shipped with "
            "`greenhouse edit preset default`"
        )

    def _explained(self, error: ValidationError) -> str:
        errors = error.errors(include_url=False)
        written_at = [written_key(".".join(str(part) for part in one["loc"]), self.own) for one in errors]
        return error_sentence(errors[0], written_at[0], str(self.path), len(set(written_at)) - 1)


def read(path: Path = Path("params.yaml"), text: str | None = None) -> ParamFiles:
    """The file, not yet validated; `text` instead of what it holds.

    Raises `UserError`: it is missing, no YAML, or no mapping; or defaults.yaml beside it is not
    what the schema says, so that DVC would not see which stages are stale.
    """
    todo = "put it back as it shipped with `greenhouse edit preset default`"
    tree = read_tree(path, todo) if text is None else parse_tree(text, path, todo)
    defaults = path.with_name(DEFAULTS)
    if not defaults.exists() or defaults.read_bytes() != defaults_text().encode():
        raise UserError(
            f"{defaults}: not as the schema has it; write it anew with `greenhouse edit defaults`, and values into "
            "params.yaml"
        )
    return ParamFiles(tree, path)


def read_tree(path: Path, todo: str = "correct the name") -> Tree:
    """The mapping that a YAML file contains, {} if it is empty.

    Raises `UserError`: it is missing (with what to do), no YAML, or no mapping.
    """
    try:
        return parse_tree(path.read_text(encoding="utf-8"), path, todo)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; {todo}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}; correct it") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {todo}") from None


def parse_tree(text: str, path: Path, todo: str) -> Tree:
    """The mapping that the text of a YAML file contains, {} if it is empty.

    Raises `UserError`: it is no YAML, has a key twice, or is no mapping (with what to do).
    """
    try:
        loader = yaml_text.Loader(text)
        node = loader.get_single_node()
        _refuse_twice(node, path)
        raw = loader.construct_document(node) if node else None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        problem = " ".join(str(getattr(error, "problem", error)).split())
        raise UserError(f"{path}{line}: not valid YAML ({problem}); correct it") from None
    except (ValueError, RecursionError) as error:  # of a value: a day that is none, a number of too many digits
        raise UserError(f"{path}: not valid YAML ({clause(error)}); correct it") from None
    if not isinstance(raw or {}, dict):
        raise UserError(f"{path}: holds a {type(raw).__name__} instead of `name: value` lines; {todo}")
    return raw or {}


def _refuse_twice(root: yaml.Node | None, path: Path) -> None:
    """Refuse a key that stands twice in a mapping: PyYAML takes the last in silence, and DVC reads no such file.

    In the nodes, before a merge (<<) brings in keys that others may have again.
    """
    todo, seen = [("", root)], set[yaml.Node]()
    while todo:
        prefix, node = todo.pop()
        if not isinstance(node, yaml.CollectionNode) or node in seen:  # an alias is the node of its anchor
            continue
        seen.add(node)
        if isinstance(node, yaml.SequenceNode):
            todo += [(f"{prefix}{number}.", one) for number, one in enumerate(node.value)]
            continue
        lines = dict[tuple[str, str], int]()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                name, line = (key.tag, key.value), key.start_mark.line + 1
                if name in lines:
                    raise UserError(
                        f"{path} line {line}: {prefix}{key.value} stands on line {lines[name]} already; remove one of "
                        "the two"
                    )
                lines[name] = line
                todo.append((f"{prefix}{key.value}.", value))


def load(path: Path = Path("params.yaml"), *overlays: Path) -> Params:
    """The effective values of params.yaml, under files that overlay it (presets).

    Raises `UserError`: a file is missing or no YAML, or a key is missing, unknown or out of range.
    """
    files = read(path)
    for overlay in overlays:
        files = files.overlaid(read_tree(overlay))
    return files.params()
