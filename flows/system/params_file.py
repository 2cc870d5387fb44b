"""Edits of params.yaml that keep its comments and change no line that need not change."""

import difflib
import io
import re
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.scalarstring import DoubleQuotedScalarString as Quoted

from components import params as schema
from components.core.files import nested, write_text, written_whole
from components.params import FURTHER, ParamFiles, Params, document, layout
from flows.system import paths

PRESETS = paths.ROOT / "presets"


def edited(text: str, values: Mapping[str, Any], removed: Iterable[str] = ()) -> str:
    """`text` (YAML) with the values put in at their dotted file keys; a key it lacks is added, with its description.

    Args:
        removed: dotted file keys that are taken out; `text` has them.
    """
    yaml = _open_yaml()
    tree = yaml.load(text)
    for key in removed:
        _remove(tree, key)
    for key, value in values.items():
        *path, leaf = key.split(".")
        node = tree
        for part in path:
            if not isinstance(node.get(part), dict):
                _add(node, part, CommentedMap())
            node = node[part]
        if leaf not in node:
            _add(node, leaf, _styled(value), layout.file_keys()[key].description if key in layout.file_keys() else "")
        elif node[leaf] != value:
            node[leaf] = _styled(value)
    buffer = io.StringIO()
    yaml.dump(tree, buffer)
    return _respaced(text, buffer.getvalue())


def rewritten(files: ParamFiles, text: str, wanted: Params) -> str:
    """`text`, the params.yaml of `files`, with the fewest edits that make its effective values those of `wanted`."""
    before = layout.leaves(files.params().model_dump(mode="json"))
    after = layout.leaves(wanted.model_dump(mode="json"))
    changed = {key: value for key, value in after.items() if before[key] != value}
    values: dict[str, Any] = {}
    for key, value in changed.items():
        if key == "ingest.sources":
            value = [layout.shortened(source) for source in value]
        values[file_key(key, value, after, files.own)] = value
    # dvc.yaml makes a stage of each branch that stands in params.yaml.
    off = {
        f"finetune.{name}"
        for name in FURTHER
        if f"finetune.{name}.base" in changed and not after[f"finetune.{name}.base"]
    }
    values = {key: value for key, value in values.items() if key.rpartition(".")[0] not in off}
    added = {key for key in values if key in layout.file_keys() and key not in layout.SHOWN}
    off |= {key for key in added if values[key] == layout.file_keys()[key].value}  # back at its default
    values = {key: value for key, value in values.items() if key not in off}
    return edited(text, values, (key for key in off if layout.contains(files.own, key)))


def file_key(key: str, value: Any, after: Mapping[str, Any], tree: layout.Tree) -> str:
    """The file key for a key of the schema: the shared one where all branches get the value, else its own."""
    *_, shared = layout.shared_places(key)
    if shared not in layout.file_keys():
        return key
    in_all = all(after.get(name, value) == value and not layout.contains(tree, name) for name in layout.sharers(shared))
    return shared if in_all else key


def before(path: Path) -> Path:
    """The file that has a params.yaml as it was before the first edit by a command."""
    return path.with_name(f"{path.name}.before")


def replace(path: Path, text: str) -> str:
    """Write a params.yaml anew. The first time, the file as it was is kept beside it.

    Returns:
        How to go back, in one line.
    """
    copy, is_first = before(path), not before(path).exists()
    if is_first and path.exists():
        with written_whole(copy) as part:
            shutil.copyfile(path, part)
    write_text(path, text)
    when = "as it was" if is_first else "as it was before the first of these edits"
    return f"{path.name} {when} is in {copy.name}; `mv {copy.name} {path.name}` goes back"


def write(path: Path, wanted: Params) -> None:
    """Edit a params.yaml so that its effective values are those of `wanted`.

    Raises:
        UserError: it is not valid as it is.
    """
    write_text(path, rewritten(schema.read(path), path.read_text(encoding="utf-8"), wanted))


def changed(params: Params, values: Mapping[str, Any], where: str) -> Params:
    """`params` with other values at keys of the schema.

    Raises:
        UserError: a value is out of range.
    """
    tree = layout.overlaid(params.model_dump(mode="json"), nested(values))
    return schema.parse(tree, where)


def preset_names() -> list[str]:
    """Names of the overlays in presets/."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def reaching(values: Mapping[str, Any], tree: layout.Tree) -> dict[str, Any]:
    """`values` at file keys, and those that branches share also where a key of one in `tree` would win over them."""
    reached = dict[str, Any]()
    for key, value in values.items():
        reached |= {sharer: value for sharer in layout.sharers(key) if layout.contains(tree, sharer)}
    return reached | dict(values)


def read_preset(name: str) -> layout.Tree:
    """The overlay of a preset, as params.yaml has its keys.

    Raises:
        UserError: there is none of that name.
    """
    return schema.read_tree(PRESETS / f"{name}.yaml", f"the presets are {', '.join(preset_names())}")


def difference(old: str, new: str, name: str = "params.yaml") -> list[str]:
    """Lines of a unified diff without context."""
    return list(difflib.unified_diff(old.splitlines(), new.splitlines(), name, name, n=0, lineterm=""))


def offer(path: Path, old: str, new: str, done: str, dry_run: bool = False) -> str:
    """Show what changes in a params.yaml, ask at a terminal, and write it unless it is a dry run.

    Returns:
        How it ended: `done` and how to go back, or that nothing changed.
    """
    print("\n".join(difference(old, new)))
    asks = sys.stdin.isatty() and not dry_run
    if dry_run or (asks and input("Write this to params.yaml? [y/N] ").strip().lower() not in ("y", "yes")):
        return "nothing changed"
    return f"{done}\n{replace(path, new)}"


def _open_yaml() -> YAML:
    """A reader and writer that gives params.yaml back byte for byte where nothing was changed."""
    yaml = YAML()
    yaml.width = 10_000
    yaml.preserve_quotes = True
    yaml.representer.add_representer(
        float, lambda dumper, value: dumper.represent_scalar("tag:yaml.org,2002:float", document.number(value))
    )
    return yaml


def _remove(tree: CommentedMap, key: str) -> None:
    """Take a key out, and a section within another that is empty without it; a branch stays, DVC looks for it."""
    path, _, leaf = key.rpartition(".")
    node = layout.value_at(tree, path)
    node.pop(leaf)
    if not node and "." in path and not any(path in shared.branches for shared in layout.SHARED.values()):
        _remove(tree, path)


def _add(node: CommentedMap, leaf: str, value: Any, description: str = "") -> None:
    """Put a key first in its section: after the last one stands the blank line before the next section."""
    node.fa.set_block_style()
    node.insert(0, leaf, value, comment=description or None)


def _respaced(old: str, new: str) -> str:
    """Two spaces before the comment of every line that changed, and blank lines where they were.

    The writer would keep the comment's old column.
    """
    unchanged = set(old.splitlines())
    lines = [line if line in unchanged else re.sub(r"(\S) +# ([^#]*)$", r"\1  # \2", line) for line in new.splitlines()]
    # The blank line after a mapping that was empty stays behind it: the writer keeps it beside the
    # key.
    behind = re.compile(r"^(( *)\S.*\n)\n((?:\2 .*\n)+)", re.MULTILINE)
    return behind.sub(lambda match: match[0] if match[1] in old else f"{match[1]}{match[3]}\n", "\n".join([*lines, ""]))


def _styled(value: Any) -> Any:
    """Lists as blocks, mappings on the line of their key; texts in those in quotes, since DVC reads YAML 1.1."""
    if isinstance(value, dict):
        plain = re.compile(r"[\w ./-]*").fullmatch
        quoted = {key: one if not isinstance(one, str) or plain(one) else Quoted(one) for key, one in value.items()}
        inline = CommentedMap(quoted)
        inline.fa.set_flow_style()
        return inline
    return (
        [CommentedMap(entry) if isinstance(entry, dict) else entry for entry in value]
        if isinstance(value, list)
        else value
    )
