"""Rules of the project that a linter does not know: layers, module docstrings, names, pinned packages."""

import ast
import html
import json
import re
import sys
import tomllib
from functools import cache
from pathlib import Path

from packaging.utils import canonicalize_name
from setuptools import find_packages

from flows.install import HASHES
from tests import errors
from tests.test_layers import imported

ROOT = Path(__file__).resolve().parents[1]
CODE = sorted(
    path for folder in ("components", "flows", "recorder", "benchmarks") for path in (ROOT / folder).rglob("*.py")
)
TESTS = sorted((ROOT / "tests").rglob("*.py"))
FORBIDDEN_BELOW = {"prefect", "mlflow", "dvc", "flows"}
"""What components must not import: they are plain Python on files and tensors."""


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(path: Path) -> set[str]:
    """Top-level packages that a file imports, inside functions too."""
    return {name.split(".")[0] for name in imported(path)}


def test_every_module_says_what_it_is() -> None:
    wrong = []
    for path in CODE:
        if not ast.get_docstring(ast.parse(path.read_text())):
            wrong.append(f"{name_of(path)}: no module docstring")
        if path.stem in ("utils", "util", "helpers", "misc", "common"):
            wrong.append(f"{name_of(path)}: name it by what it does")
    assert CODE
    assert wrong == []


def test_components_know_nothing_of_the_orchestration() -> None:
    below = [path for path in CODE if path.is_relative_to(ROOT / "components")]
    assert below
    assert {name_of(path): wrong for path in below if (wrong := imports(path) & FORBIDDEN_BELOW)} == {}


def test_the_recorder_needs_little_and_none_of_the_project() -> None:
    """numpy for the order of data; what only a trainer's own environment has is imported where it is there."""
    inside = {"greenhouse_record", "psutil", "pynvml", "numpy", "torch", "transformers", "mlflow"}
    for path in (ROOT / "recorder").rglob("*.py"):
        assert imports(path) <= inside | set(sys.stdlib_module_names), name_of(path)


def test_what_installs_needs_nothing_installed() -> None:
    assert imports(ROOT / "flows" / "install.py") <= set(sys.stdlib_module_names)


def test_no_test_is_skipped() -> None:
    marks = re.compile(r"pytest\.(mark\.)?(skip|skipif|xfail|importorskip)\b(?!\(.*platform)")  # Linux alone has prctl
    for path in TESTS:
        if path != Path(__file__):
            assert not marks.search(path.read_text()), f"{name_of(path)} skips"


def test_no_remote_code_and_no_pickle() -> None:
    bad = re.compile(
        r"trust_remote_code\s*=\s*True|^\s*import pickle|torch\.load\(|allow_pickle\s*=\s*True", re.MULTILINE
    )
    for path in CODE:
        assert not bad.search(path.read_text()), name_of(path)


def test_every_dependency_is_pinned_except_torch() -> None:
    """torch is left out on purpose: CPU builds here, CUDA builds there; pyproject.toml holds its range."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    names = {re.split(r"[\s\[<>=!~;]", line, maxsplit=1)[0].lower().replace("_", "-") for line in wanted}
    lines = (ROOT / "constraints.txt").read_text().split()
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines if "==" in line}
    assert names - pinned <= {"torch"}
    assert "torch" not in pinned


def test_every_package_is_installed_by_hash() -> None:
    """pip takes no hashes from constraints.txt, so lists of files have them, each in the version that it pins."""
    entries = {name: (ROOT / name).read_text().replace(" \\\n", " ").splitlines() for name in HASHES}
    assert all("--hash=sha256:" in line for lines in entries.values() for line in lines)
    listed = [line.split()[0].split("==") for lines in entries.values() for line in lines]
    found = {canonicalize_name(name): version for name, version in listed}
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split())
    differing = {name for name, version in pinned.items() if found.get(canonicalize_name(name), version) != version}
    assert not differing, "run .ci/hashes.py"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {HASHES[0]: project["dependencies"], HASHES[1]: project["optional-dependencies"]["dev"]}
    for name, wanted in extras.items():
        names = {canonicalize_name(re.split(r"[\s\[<>=!~;]", line, maxsplit=1)[0]) for line in wanted}
        there = {canonicalize_name(line.split("==")[0]) for line in entries[HASHES[0]] + entries[name]}
        assert names - there <= {"torch"}


def test_generated_pages_and_tables_are_fresh() -> None:
    from benchmarks import tables

    for page, text in tables.generated().items():
        assert page.read_text("utf-8") == text, f"{name_of(page)}: run python -m benchmarks.tables"


def test_sentences_of_errors_are_those_of_the_snapshot() -> None:
    assert errors.SNAPSHOT.read_text("utf-8") == errors.snapshot(), "python -m tests.errors --write"


def test_readme_shows_one_run_of_the_demo() -> None:
    from benchmarks import tables

    made = json.loads((ROOT / "docs" / "images" / "demo.json").read_text())
    assert tables.shown_of_the_demo() == made["sha256"], "make demo, then python -m benchmarks.tables --demo"
    picture = html.unescape((ROOT / "docs" / "images" / "demo.svg").read_text("utf-8"))
    table = re.search("```\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    assert table
    figures = set(re.findall(r"\d\.\d{3}", table[1]))
    assert len(figures) > 20
    assert figures <= set(re.findall(r"\d\.\d{3}", picture)), (
        "python -m benchmarks.cast docs/images/demo.svg greenhouse run"
    )


def test_pages_by_hand_stay_short() -> None:
    """A newcomer reads README in minutes; what a program can say of itself is in the two generated pages."""
    by_hand = [path for path in (ROOT / "docs").glob("*.md") if path.stem not in ("reference", "results")]
    assert len(by_hand) == 8
    assert sum(len(path.read_text("utf-8").split()) for path in by_hand) <= 12_000
    assert len((ROOT / "README.md").read_text("utf-8").split()) <= 1_100


def test_every_package_is_declared() -> None:
    """A folder of code that setuptools does not find would be missing from what is installed."""
    find = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]
    folders = {name_of(path.parent).replace("/", ".") for path in CODE if "benchmarks" not in path.parts}
    found = {name for where in find["where"] for name in find_packages(str(ROOT / where), include=find["include"])}
    assert found == {folder.removeprefix("recorder.") for folder in folders}
    recorder = tomllib.loads((ROOT / "recorder/pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    assert set(recorder) == {name for name in found if name.startswith("greenhouse_record")}


PAGES = sorted(path for path in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "eval_sets").glob("*.md")])
SHIPPED = "components|flows|recorder|tests|benchmarks|docs|presets|corpora|eval_sets|[.]ci"
"""Folders whose contents git holds: what a page names below them is there, or the page is wrong."""


@cache
def variables() -> set[str]:
    """Environment variables of ours that the code uses."""
    return {name for path in CODE for name in re.findall(r"\bGREENHOUSE_[A-Z_]+", path.read_text("utf-8"))}


def is_module(name: str) -> bool:
    """Whether a dotted name is a module or package of the project."""
    path = ROOT / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").exists()


def wrong_names(page: str) -> list[str]:
    """Paths, modules, make targets and environment variables that a text names and that do not exist."""
    paths = re.findall(rf"(?<![\w/.-])(?:{SHIPPED})/[\w./*-]*[\w/*]", page)
    modules = re.findall(r"-m ((?:flows|components|benchmarks)[\w.]*)", page)
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    files = {path.name for path in [*CODE, *TESTS]}
    wrong = [path for path in paths if not any(ROOT.glob(path.rstrip("/")))]
    wrong += [name for name in re.findall(r"`(\w+\.py)`", page) if name not in files]
    wrong += [name for name in modules if not is_module(name)]
    made = re.findall(r"(?:`|^    )make ([a-z][\w-]*)", page, re.MULTILINE)
    wrong += [f"make {name}" for name in made if name not in targets]
    wrong += [name for name in re.findall(r"GREENHOUSE_[A-Z_]+", page) if name not in variables()]
    return wrong


def test_what_code_and_settings_name_exists() -> None:
    """Placeholders are in capitals: `presets/NAME.yaml`, `flows.NAME`."""
    settings = [ROOT / name for name in ("Makefile", "dvc.yaml", "params.yaml", "defaults.yaml", "pyproject.toml")]
    for path in [*CODE, *settings, *(ROOT / "presets").glob("*.yaml"), *(ROOT / ".ci").iterdir()]:
        wrong = [name for name in wrong_names(path.read_text("utf-8")) if "NAME" not in name]
        assert not wrong, f"{name_of(path)} names {wrong}"


def test_what_the_pages_name_exists() -> None:
    assert ROOT / "docs" / "architecture.md" in PAGES
    assert {name_of(path): wrong for path in PAGES if (wrong := wrong_names(path.read_text("utf-8")))} == {}


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_of_the_pages_lead_somewhere() -> None:
    for path in PAGES:
        for link, anchor in re.findall(r"\]\((?!https?:|mailto:)([^)#\s]*)#?([^)\s]*)\)", path.read_text("utf-8")):
            page = path.parent / link if link else path
            assert page.exists(), f"{name_of(path)} links to {link}"
            assert not anchor or anchor in anchors(page), f"{name_of(path)} links to {link}#{anchor}"
