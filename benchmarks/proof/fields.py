"""Which fields of a signed folder come from a recorded fact: each fact is changed, and the fields are watched.

A field that no change of a claim moves must be one of the format's own words (`CONSTANTS`); what is neither is counted.
"""

from collections.abc import Iterator
from typing import Any

from components.studies.attestation.claims import Claims
from components.studies.attestation.renderings import DOCUMENTS
from components.studies.attestation.training_content import OWNER

Path = tuple[str | int, ...]
CONSTANTS = {
    "CycloneDX", "1.7", 1, "SHA-256", "file", "dataset", "data", "library", "machine-learning-model", "transformer",
    "kWh", "tCO2eq", "unknown", "corpora", "model", "source code", "text", "greenhouse trains on text alone",
    "https://in-toto.io/Statement/v1", "https://slsa.dev/provenance/v1", "urn:greenhouse:dvc-stages:v1",
    "urn:greenhouse:flows.pipeline",
}  # fmt: skip
WORDS = ("material_for", "from", "limit", "made_by")
"""Fields of the summary that say what it is and where a value was read: words of the code."""


def leaves(tree: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every value of a JSON tree that holds no other, with its path."""
    if tree and isinstance(tree, dict | list):
        for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from leaves(value, (*path, key))
    else:
        yield path, tree


def variants(value: Any) -> list[Any]:
    """Other values in the place of one."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [value * 7 + 1]
    if isinstance(value, str):
        return [f"{value}x", value.removesuffix("+changes") if "+changes" in value else f"{value}+changes"]
    return [["x"]] if isinstance(value, list) else [{"x": 1}] if isinstance(value, dict) else ["x"]


def changed(tree: Any, path: Path, value: Any, rename: bool = False) -> Any:
    """A copy of a tree with another value at a path, or another name for the last key of it."""
    (key, *rest), copy = path, tree.copy()
    if rest:
        copy[key] = changed(tree[key], tuple(rest), value, rename)
    elif rename:
        return {f"{name}x" if name == key else name: row for name, row in tree.items()}
    else:
        copy[key] = value
    return copy


def worlds(claims: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The claims with all facts of a part changed, which moves most fields; then with one, or a key renamed."""
    for part, tree in claims.items():
        for number in (0, 1):
            other = tree
            for path, value in leaves(tree):
                other = changed(other, path, variants(value)[-number]) if path else variants(value)[-number]
            yield claims | {part: other}
    yield claims | {"owner": {name: f"{name} x" for name in OWNER}}
    yield changed(claims, ("base",), "" if claims["base"] else "pretrain/causal")
    removed = {"stage": "ingest", "rule": "opted_out", "documents": 7, "of": 9}
    yield changed(claims, ("data", "removed"), [removed])
    kinds = [{"kind": "files", "name": name} for name in claims["data"].get("sources", {})]
    yield changed(claims, ("lock", "ingest", "params"), {"params.yaml": {"ingest": {"sources": kinds}}})
    renamed: set[Path] = set()
    for path, value in leaves(claims):
        yield from (changed(claims, path, other) for other in variants(value))
        for end in range(2, len(path) + 1):
            if isinstance(path[end - 1], str) and path[:end] not in renamed:
                renamed.add(path[:end])
                yield changed(claims, path[:end], None, rename=True)


def _fields(claims: dict[str, Any]) -> dict[Path, Any]:
    parsed = Claims.model_validate(claims)
    return {(name, *path): value for name, make in DOCUMENTS.items() for path, value in leaves(make(parsed))}


def _is_constant(value: Any) -> bool:
    return isinstance(value, str | int) and (value in CONSTANTS or str(value).startswith("greenhouse:"))


def without_source(claims: dict[str, Any]) -> tuple[int, list[str]]:
    """Number of fields in what is made of these claims, and those that no fact moves."""
    before = _fields(claims)
    constant = {path for path, value in before.items() if set(WORDS) & set(path) or _is_constant(value)}
    still = set(before) - constant
    for world in worlds(claims):
        try:
            after = _fields(world)
        except (ValueError, KeyError):  # the schema refuses it: a name that is fixed
            continue
        still = {path for path in still if path in after and after[path] == before[path]}
        if not still:
            break
    return len(before), [" ".join(map(str, path)) for path in sorted(still, key=str)]
