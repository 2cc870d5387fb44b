"""Layout of the two parameter files: which key stands in which, and how both become one tree of effective values.

params.yaml holds the keys that people change, defaults.yaml the advanced ones; a value in params.yaml wins, so an
advanced key may be added there. Two parts of the files are not in the schema, for several of its keys share them:

- `pretrain.common`: what both objectives train with; `pretrain.causal` and `pretrain.masked` hold only what differs.
- `ingest.source_defaults.<kind>` (in defaults.yaml): keys that an entry of `ingest.sources` may leave out.

Keys are dotted (`dedup.threshold`). A file key names a place in the files, a key one in the schema.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from components.core.files import nested
from components.params.ingest import Files, Hub, Ingest, Packages, PackageTexts
from components.params.pretrain import PretrainBranches
from components.params.root import Params
from components.params.section import AdvancedMark, Section

OWN = {"causal": "model.tied", "masked": "mask_rate"}
"""Branch of pretraining -> the key of its own that params.yaml shows under it."""
BRANCHES = tuple(OWN)
COMMON = "pretrain.common"
SOURCE_KINDS: tuple[type[Section], ...] = (Packages, PackageTexts, Files, Hub)
Tree = dict[str, Any]


@dataclass(frozen=True)
class FileKey:
    """A key or a section of the files: value that ships (none for a section), description, and which file holds it."""

    description: str
    advanced: bool
    section: bool = False
    value: Any = None


@cache
def file_keys() -> dict[str, FileKey]:
    """Every file key and section, in the order of the files."""
    return dict(_walk(Params(), "", False))


def _walk(section: Section, prefix: str, advanced: bool) -> Iterator[tuple[str, FileKey]]:
    values = section.model_dump(mode="json")
    for name, field in type(section).model_fields.items():
        key, value, description = f"{prefix}{name}", getattr(section, name), " ".join((field.description or "").split())
        marked = advanced or any(isinstance(mark, AdvancedMark) for mark in field.metadata)
        if not isinstance(value, Section):
            shipped = values[name]
            if key == "ingest.sources":
                shipped = [shortened(entry, _source_defaults()) for entry in shipped]
            yield key, FileKey(description, marked, value=shipped)
            continue
        yield key, FileKey(description, marked, section=True)
        yield from _walk_pretrain(value) if isinstance(value, PretrainBranches) else _walk(value, f"{key}.", marked)
    if isinstance(section, Ingest):
        yield from _walk_sources(f"{prefix}source_defaults")


def _walk_pretrain(branches: PretrainBranches) -> Iterator[tuple[str, FileKey]]:
    yield COMMON, FileKey("Both objectives; a key written under one of them below wins there.", False, section=True)
    yield from _walk(branches.masked, f"{COMMON}.", False)
    for branch, own in OWN.items():
        yield from _walk_to(branches, "pretrain.", f"{branch}.{own}")


def _walk_to(section: Section, prefix: str, path: str) -> Iterator[tuple[str, FileKey]]:
    """The key at a path below a section, and the sections on the way to it."""
    name, _, rest = path.partition(".")
    description, value = type(section).model_fields[name].description or "", getattr(section, name)
    yield f"{prefix}{name}", FileKey(description, False, section=bool(rest), value=None if rest else value)
    if rest:
        yield from _walk_to(value, f"{prefix}{name}.", rest)


def _walk_sources(prefix: str) -> Iterator[tuple[str, FileKey]]:
    yield prefix, FileKey("Keys that an entry of `sources` may leave out, by its kind.", True, section=True)
    for kind in SOURCE_KINDS:
        name = kind.model_fields["kind"].default
        yield f"{prefix}.{name}", FileKey(" ".join((kind.__doc__ or "").split()), True, section=True)
        for leaf, value in _source_defaults()[name].items():
            description = " ".join((kind.model_fields[leaf].description or "").split())
            yield f"{prefix}.{name}.{leaf}", FileKey(description, True, value=value)


def _source_defaults() -> dict[str, Tree]:
    """Kind of a source -> the keys that an entry may leave out, and their values."""
    found = {}
    for kind in SOURCE_KINDS:
        given = {leaf: field.default for leaf, field in kind.model_fields.items() if not field.is_required()}
        found[given.pop("kind")] = given
    return found


def shortened(source: Tree, kinds: Mapping[str, Tree]) -> Tree:
    """An entry of `ingest.sources` without what its kind gives it (`ingest.source_defaults`); the name stays."""
    given = kinds.get(source["kind"], {})
    kept = [leaf for leaf in source if leaf in ("kind", "name") or leaf not in given or source[leaf] != given[leaf]]
    return {leaf: source[leaf] for leaf in kept}


# -- trees -------------------------------------------------------------------------------------------------------------


@cache
def _mappings() -> frozenset[str]:
    """File keys whose value is a mapping that a user fills, such as `mix.weights`: replaced whole, never merged."""
    return frozenset(key for key, one in file_keys().items() if not one.section and isinstance(one.value, dict))


def overlaid(base: Tree, over: Mapping[str, Any], prefix: str = "") -> Tree:
    """`base` with the values of `over` put over it, key by key; neither is changed."""
    merged = dict(base)
    for name, value in over.items():
        key, below = f"{prefix}{name}", base.get(name)
        if value is None and key in file_keys() and file_keys()[key].section:
            value = {}  # `dedup:` with nothing under it
        if isinstance(value, dict) and key not in _mappings():
            merged[name] = overlaid(below if isinstance(below, dict) else {}, value, f"{key}.")
        else:
            merged[name] = value
    return merged


def leaves(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted key -> value of every leaf; a mapping that a user fills is one."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and key not in _mappings():
            found |= leaves(value, f"{key}.")
        else:
            found[key] = value
    return found


def value_at(tree: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key; None if there is none."""
    node: Any = tree
    for part in key.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    return node


def holds(tree: Mapping[str, Any], key: str) -> bool:
    """Whether the tree has that dotted key."""
    path, _, leaf = key.rpartition(".")
    node = value_at(tree, path) if path else tree
    return isinstance(node, Mapping) and leaf in node


def resolved(tree: Tree) -> Tree:
    """The schema's tree of a tree of the files: shared parts merged into what shares them."""
    tree = dict(tree)
    pretrain, ingest = tree.get("pretrain"), tree.get("ingest")
    if isinstance(pretrain, dict) and isinstance(pretrain.get("common"), dict):
        own = {name: value for name, value in pretrain.items() if name != "common"}
        tree["pretrain"] = own | {
            branch: overlaid(pretrain["common"], own[branch] or {})
            for branch in BRANCHES if branch in own and isinstance(own[branch] or {}, dict)
        }  # fmt: skip
    if isinstance(ingest, dict) and isinstance(kinds := ingest.get("source_defaults"), dict):
        tree["ingest"] = {name: value for name, value in ingest.items() if name != "source_defaults"}
        if isinstance(sources := ingest.get("sources"), list):
            tree["ingest"]["sources"] = [_with_kind(source, kinds) for source in sources]
    return tree


def _with_kind(source: Any, kinds: Tree) -> Any:
    kind = kinds.get(str(source.get("kind"))) if isinstance(source, dict) else None
    return kind | source if isinstance(kind, dict) else source


def effective(files: Mapping[str, Mapping[str, Any]]) -> Tree:
    """Effective values of a stage's parameters: section (as in dvc.yaml) -> values.

    Args:
        files: file name -> section -> values, as DVC reads them and as dvc.lock records them.
    """
    tree: Tree = {}
    for name in sorted(files, key=lambda one: one != "defaults.yaml"):  # first, for all others win
        tree = overlaid(tree, nested(files[name]))
    tree = resolved(tree)
    sections = {section for values in files.values() for section in values} - {COMMON}
    return {section: value_at(tree, section) for section in sorted(sections)}


def written_key(key: str, tree: Mapping[str, Any]) -> str:
    """The file key at which the value of a key of the schema stands in a tree of the files."""
    first, _, rest = key.partition(".")
    branch, _, leaf = rest.partition(".")
    return f"{COMMON}.{leaf}" if first == "pretrain" and branch in BRANCHES and leaf and not holds(tree, key) else key
