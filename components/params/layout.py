"""Layout of params.yaml: which keys it shows, which of them branches share, and how it becomes the schema's tree.

params.yaml holds the keys of `SHOWN`. Every other key has its default in the schema, and wins where it is added to
params.yaml. defaults.yaml lists all keys with their defaults for DVC alone, which makes stages stale when one changes.
Two sections are not in the schema, for several of its sections share their keys: `SHARED`. A null at a key of `DERIVED`
stands for a value that follows from the size of the network.

Keys are dotted (`dedup.threshold`). A file key names a place in the file, a key one in the schema.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from components.core.files import nested
from components.model import derived
from components.params.ingest import Files, Hub, Packages, PackageTexts
from components.params.root import Params
from components.params.section import Section

SHOWN = (
    "ingest.sources", "ingest.watch", "ingest.heldout_fraction", "ingest.opt_out",
    "ingest.licences.allow", "ingest.licences.deny", "ingest.licences.unknown",
    "dedup.near", "dedup.threshold",
    "filter.rules", "filter.limits", "filter.per_source", "filter.redact", "filter.decontaminate.items",
    "bias.scorer", "bias.max_toxic_share",
    "mix.weights", "mix.curriculum.share", "mix.augment",
    "tokenize.vocab_size",
    "pretrain.common.model.size", "pretrain.common.steps", "pretrain.common.batch", "pretrain.common.context",
    "pretrain.common.seed",
    "finetune_defaults.steps", "finetune_defaults.learning_rate", "finetune_defaults.lora_rank",
    "finetune.instruct.data", "finetune.instruct.base", "finetune.classify.data", "finetune.classify.base",
    "evaluate.heldout_kilobytes", "evaluate.items",
    "account.model_name", "account.licence",
    "numerics.device",
    "runtime.workers", "runtime.grid.zone", "runtime.budget.hours",
)  # fmt: skip
"""File keys of params.yaml as it ships: what people set, and what dvc.yaml reads as `${...}`."""
COMMON, TUNING = "pretrain.common", "finetune_defaults"
DERIVED = {f"{COMMON}.{leaf}" for leaf in ("model.width", "steps", "batch", "optimizer.embedding_lr")}
"""File keys whose null is filled in by `components.model.derived`."""
BRANCHES = ("causal", "masked")
SOURCE_KINDS: tuple[type[Section], ...] = (Packages, PackageTexts, Files, Hub)
Tree = dict[str, Any]


@dataclass(frozen=True)
class Shared:
    """A section of the file whose keys several sections of the schema share; a key under one of them wins there.

    Attributes:
        description: of the section.
        branches: section of the schema -> the keys that it has of its own. The first one's are not shared.
    """

    description: str
    branches: dict[str, tuple[str, ...]]


SHARED = {
    COMMON: Shared(
        "Both objectives; a key written under one of them below wins there.",
        {"pretrain.masked": ("mask_rate",), "pretrain.causal": ("model.tied",)},
    ),
    # Not finetune.defaults: dvc.yaml makes a stage of each key of `finetune`.
    TUNING: Shared(
        "All branches of `finetune`; a key written under one of them wins there.",
        {
            "finetune.instruct": ("data", "base", "task", "steps"),
            "finetune.classify": ("data", "base", "task", "max_pairs"),
            "finetune.prefer": ("data", "base", "learning_rate", "beta"),
        },
    ),
}


@dataclass(frozen=True)
class FileKey:
    """A key or a section of params.yaml: its default (none for a section) and its description."""

    description: str
    section: bool = False
    value: Any = None


@cache
def file_keys() -> dict[str, FileKey]:
    """Every file key and section, in the order of the file."""
    keys = dict(_walk(Params(), ""))
    return {key: FileKey(one.description) if key in DERIVED else one for key, one in keys.items()}


def _walk(section: Section, prefix: str) -> Iterator[tuple[str, FileKey]]:
    values = section.model_dump(mode="json")
    for name, field in type(section).model_fields.items():
        key, value, description = f"{prefix}{name}", getattr(section, name), " ".join((field.description or "").split())
        if not isinstance(value, Section):
            shipped = [shortened(source) for source in values[name]] if key == "ingest.sources" else values[name]
            yield key, FileKey(description, value=shipped)
            continue
        shared = [common for common, one in SHARED.items() if any(name.startswith(f"{key}.") for name in one.branches)]
        if not shared:
            yield key, FileKey(description, section=True)
            yield from _walk(value, f"{key}.")
            continue
        yield from sorted(
            [(key, FileKey(description, section=True)), *_walk_shared(shared[0], key, value)],
            key=lambda item: not item[0].startswith(TUNING),
        )


def _walk_shared(shared: str, prefix: str, branches: Section) -> Iterator[tuple[str, FileKey]]:
    """The shared section `shared`, and what each branch in `branches`, the section at `prefix`, has of its own."""
    yield shared, FileKey(SHARED[shared].description, section=True)
    own_keys = SHARED[shared].branches
    first, excluded = next(iter(own_keys.items()))
    for key, one in _walk(getattr(branches, first.rpartition(".")[2]), f"{shared}."):
        leaf = key.removeprefix(f"{shared}.")
        # a key that one branch alone has of its own is shared by the others
        if leaf in excluded and sum(leaf in keys for keys in own_keys.values()) == 1 < len(own_keys) - 1:
            others = getattr(branches, next(name for name in own_keys if leaf not in own_keys[name]).rpartition(".")[2])
            yield key, dict(_walk(others, f"{shared}."))[key]
        elif leaf not in excluded:
            yield key, one
    for name in type(branches).model_fields:
        keys = own_keys.get(f"{prefix}.{name}", ())
        yield f"{prefix}.{name}", FileKey(type(branches).model_fields[name].description or "", section=True)
        for key, one in _walk(getattr(branches, name), f"{prefix}.{name}."):
            leaf = key.removeprefix(f"{prefix}.{name}.")
            if leaf in keys or (one.section and any(path.startswith(f"{leaf}.") for path in keys)):
                yield key, one


@cache
def source_defaults() -> dict[str, Tree]:
    """Kind of a source -> the keys that an entry of `ingest.sources` may leave out, and their values."""
    kinds = {}
    for kind in SOURCE_KINDS:
        given = {leaf: field.default for leaf, field in kind.model_fields.items() if not field.is_required()}
        kinds[given.pop("kind")] = given
    return kinds


def shortened(source: Tree) -> Tree:
    """An entry of `ingest.sources` without the keys that have their default; kind and name stay."""
    given = source_defaults().get(source["kind"], {})
    kept = [leaf for leaf in source if leaf in ("kind", "name") or leaf not in given or source[leaf] != given[leaf]]
    return {leaf: source[leaf] for leaf in kept}


# -- trees -------------------------------------------------------------------------------------------------------------


@cache
def _mappings() -> frozenset[str]:
    """File keys whose value is a mapping that a user fills, such as `mix.weights`: replaced whole, never merged."""
    return frozenset(key for key, one in file_keys().items() if not one.section and isinstance(one.value, dict))


def _is_mapping(key: str) -> bool:
    return any(path in _mappings() for path in shared_places(key))


def default_tree() -> Tree:
    """Tree of the file with the default of every key."""
    return nested({key: {} if one.section else one.value for key, one in file_keys().items()})


def overlaid(base: Tree, over: Mapping[str, Any], prefix: str = "") -> Tree:
    """`base` with the values of `over` put over it, key by key; neither is changed."""
    merged = dict(base)
    for name, value in over.items():
        key, below = f"{prefix}{name}", base.get(name)
        if value is None and key in file_keys() and file_keys()[key].section:
            value = {}  # `dedup:` with nothing under it
        if isinstance(value, dict) and not _is_mapping(key):
            merged[name] = overlaid(below if isinstance(below, dict) else {}, value, f"{key}.")
        else:
            merged[name] = value
    return merged


def leaves(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted key -> value of every leaf; a mapping that a user fills is one."""
    values: dict[str, Any] = {}
    for name, value in tree.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and not _is_mapping(key):
            values |= leaves(value, f"{key}.")
        else:
            values[key] = value
    return values


def value_at(tree: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key; None if there is none."""
    node: Any = tree
    for part in key.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    return node


def contains(tree: Mapping[str, Any], key: str) -> bool:
    """Whether the tree has that dotted key."""
    path, _, leaf = key.rpartition(".")
    node = value_at(tree, path) if path else tree
    return isinstance(node, Mapping) and leaf in node


def resolved(tree: Tree) -> Tree:
    """The schema's tree of a tree of the file: shared keys merged into what shares them, nulls derived."""
    tree = {name: dict(value) if isinstance(value, dict) else value for name, value in tree.items()}
    ingest = tree.get("ingest")
    if isinstance(ingest, dict) and isinstance(kinds := ingest.pop("source_defaults", None), dict):
        sources = ingest.get("sources")
        ingest["sources"] = [_with_kind(one, kinds) for one in sources] if isinstance(sources, list) else sources
    for key, shared in SHARED.items():
        path, _, name = key.rpartition(".")
        holder = tree.get(path) if path else tree
        values = holder.pop(name, None) if isinstance(holder, dict) else None
        if not isinstance(values, dict | None):
            continue
        for branch in shared.branches:
            section, _, leaf = branch.partition(".")
            present = tree.get(section)
            if isinstance(present, dict) and leaf in present and isinstance(present[leaf] or {}, dict):
                present[leaf] = overlaid(values or {}, present[leaf] or {})
    for branch in BRANCHES:
        if isinstance(present := value_at(tree, f"pretrain.{branch}"), dict):
            tree["pretrain"][branch] = _derived(present)
    return tree


def _with_kind(source: Any, kinds: Tree) -> Any:
    """An entry of `ingest.sources` with the defaults of its kind."""
    kind = kinds.get(str(source.get("kind"))) if isinstance(source, dict) else None
    return kind | source if isinstance(kind, dict) else source


def _derived(branch: Tree) -> Tree:
    """`branch` of pretraining with its nulls filled in; where the size is no number, they are left out."""
    size, context = value_at(branch, "model.size"), branch.get("context")
    values = {key.removeprefix(f"{COMMON}."): value_at(branch, key.removeprefix(f"{COMMON}.")) for key in DERIVED}
    if _count(size):
        width = values["model.width"] or derived.width_of(size)
        batch = values["batch"] or derived.batch_of(size)
        if _count(width) and _count(batch) and isinstance(context, int) and context > 0:
            follows = {
                "model.width": width,
                "batch": batch,
                "steps": derived.steps_of(size, width, batch * context),
                "optimizer.embedding_lr": derived.embedding_rate_of(width),
            }
            values = {key: follows[key] if value is None else value for key, value in values.items()}
    dropped = {key for key, value in values.items() if value is None}
    kept = {key: value for key, value in leaves(branch).items() if key not in dropped}
    return overlaid(nested(kept), nested({key: value for key, value in values.items() if value is not None}))


def _count(value: Any) -> bool:
    return isinstance(value, int) and value > 0


def effective(files: Mapping[str, Mapping[str, Any]]) -> Tree:
    """Effective values of a stage's parameters: section (as in dvc.yaml) -> values.

    Args:
        files: file name -> section -> values, as DVC reads them and as dvc.lock records them.
    """
    tree: Tree = {}
    for name in sorted(files, key=lambda one: one != "defaults.yaml"):  # first, for all others win
        tree = overlaid(tree, nested(files[name]))
    tree = resolved(tree)
    sections = {section for values in files.values() for section in values} - set(SHARED)
    return {section: value_at(tree, section) for section in sorted(sections)}


def shared_places(key: str) -> list[str]:
    """File keys that set a key of the schema or file, the one in the shared section last if the branch shares it."""
    for section, shared in SHARED.items():
        for branch, keys in shared.branches.items():
            leaf = key.removeprefix(f"{branch}.")
            if leaf != key:
                return [key] if leaf in keys else [key, f"{section}.{leaf}"]
    return [key]


def sharers(key: str) -> list[str]:
    """Keys of the schema that a file key in a shared section sets; none of another key."""
    for section, shared in SHARED.items():
        if key.startswith(f"{section}."):
            leaf = key.removeprefix(f"{section}.")
            return [f"{branch}.{leaf}" for branch, keys in shared.branches.items() if leaf not in keys]
    return []


def written_key(key: str, tree: Mapping[str, Any]) -> str:
    """The file key at which the value of a key of the schema stands in a tree of the file."""
    first, *rest = shared_places(key)
    return rest[0] if rest and not contains(tree, first) and rest[0] in file_keys() else first


def is_key(key: str) -> bool:
    """Whether a value can be written at a file key: one of its own, or one under a branch that others share."""
    return any(path in file_keys() and not file_keys()[path].section for path in shared_places(key))
