"""The architecture, held by its import graph: no circle, stages apart, layers, mirrored tests."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import networkx

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ("system", "tracking", "planning", "execution", "serving")
"""Packages of flows/: each imports only those left of it; the modules beside them may import all."""
TOP = len(LAYERS)


def module_name(path: Path) -> str:
    """Dotted name of a Python file, of its package for an `__init__.py`."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def modules() -> dict[str, Path]:
    """Name -> file of every module of components/, flows/ and benchmarks/."""
    folders = ("components", "flows", "benchmarks")
    return {module_name(path): path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))}


def imported(path: Path) -> Iterator[str]:
    """Names that a file imports, inside functions too; `from package import module` is the module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in modules() else node.module


@cache
def graph() -> networkx.DiGraph:
    """Edges from each module to the modules of the project that it imports."""
    edges = networkx.DiGraph()
    edges.add_nodes_from(modules())
    edges.add_edges_from(
        (name, other) for name, path in modules().items() for other in imported(path) if other in modules()
    )
    return edges


def stage_of(module: str) -> str | None:
    """The stage whose package holds the module, if one does."""
    parts = module.split(".")
    return parts[2] if parts[:2] == ["components", "stages"] and len(parts) > 2 else None


def layer_of(module: str) -> int | None:
    """Position of a module of flows/ among the layers; None for another module or the package itself."""
    parts = module.split(".")
    if parts[0] != "flows" or len(parts) == 1:
        return None
    return LAYERS.index(parts[1]) if parts[1] in LAYERS else TOP


def test_there_is_no_circle_between_modules() -> None:
    circles = [sorted(part) for part in networkx.strongly_connected_components(graph()) if len(part) > 1]
    assert not circles


def test_no_stage_imports_another() -> None:
    shared = [edge for edge in graph().edges if edge[0].startswith("components.") and ".studies." not in edge[0]]
    assert not [(a, b) for a, b in shared if stage_of(b) and stage_of(a) != stage_of(b)]


def test_layers_of_flows_import_only_lower_ones() -> None:
    layers = [(a, b, layer_of(a), layer_of(b)) for a, b in graph().edges]
    assert not [(a, b) for a, b, above, below in layers if above is not None and below is not None and below > above]


def test_every_stage_is_a_package_with_its_function() -> None:
    stages = {path.name for path in (ROOT / "components/stages").iterdir() if (path / "__init__.py").exists()}
    assert len(stages) == 10
    assert all((ROOT / "components/stages" / stage / "stage.py").exists() for stage in stages)


def test_tests_lie_where_their_subject_lies() -> None:
    folders = {path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")}
    assert not [str(folder) for folder in folders if not (ROOT / folder).is_dir()]
