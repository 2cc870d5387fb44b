"""A tree of JSON with one value changed."""

from typing import Any

Path = tuple[str | int, ...]


def changed(tree: Any, path: Path, value: Any) -> Any:
    """A copy of a tree with another value at a path."""
    (key, *rest), copy = path, tree.copy()
    copy[key] = changed(tree[key], tuple(rest), value) if rest else value
    return copy
