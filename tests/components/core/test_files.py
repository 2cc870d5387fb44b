"""A move is whole or not at all, on one disk and onto another."""

import errno
import os
from pathlib import Path

import pytest

from components.core import files
from components.core.files import raise_if_linked_out
from tests.errors import refused


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A folder of two files, one of them in a folder of its own."""
    folder = tmp_path / "work" / "out"
    (folder / "train").mkdir(parents=True)
    (folder / "train" / "part").write_bytes(b"text" * 1000)
    (folder / "manifest.json").write_text("{}")
    return folder


@pytest.fixture
def two_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every folder is on a disk of its own."""
    rename = os.replace

    def replace(source: Path, target: Path) -> None:
        if source.parent != target.parent:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(source), None, str(target))
        rename(source, target)

    monkeypatch.setattr(files.os, "replace", replace)
    monkeypatch.setattr(files.os, "rename", replace)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("disks", ["one", "two"])
def test_a_move_replaces_what_is_there(made: Path, tmp_path: Path, disks: str, request: pytest.FixtureRequest) -> None:
    if disks == "two":
        request.getfixturevalue("two_disks")
    target, before = tmp_path / "data" / "ingest", tree(made)
    (target / "old").mkdir(parents=True)
    (target / "old" / "file").touch()
    if disks == "two":
        (target.with_name(".ingest.tmp")).mkdir()  # a killed move's
    files.move(made, target)
    assert tree(target) == before
    assert os.listdir(target.parent) == ["ingest"]
    files.move(target / "manifest.json", made / "manifest.json")
    files.move(made / "manifest.json", target)
    assert target.read_text() == "{}"
    assert os.listdir(made) == []


def test_a_move_onto_a_disk_that_is_full_leaves_all_as_it_was(
    made: Path, tmp_path: Path, two_disks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = files.shutil.copy2

    def full(source: str, target: str, **options: bool) -> None:
        Path(target).touch()
        if Path(target).name == "part":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(source), None, str(target))
        copy(source, target, **options)

    monkeypatch.setattr(files.shutil, "copy2", full)
    target, before = tmp_path / "data" / "ingest", tree(made)
    target.mkdir(parents=True)
    (target / "old").touch()
    with pytest.raises(OSError, match="No space left") as error:
        files.move(made, target)
    assert error.value.errno == errno.ENOSPC
    assert tree(made) == before
    assert os.listdir(target.parent) == ["ingest"]
    assert os.listdir(target) == ["old"]


def test_links_of_a_hubs_cache_to_its_own_blobs_are_allowed_and_others_that_lead_out_are_not(tmp_path: Path) -> None:
    folder, blobs = tmp_path / "models--a--b/snapshots/1", tmp_path / "models--a--b/blobs"
    for made in (folder / "deep", blobs, tmp_path / "other"):
        made.mkdir(parents=True)
    (blobs / "x").write_text("weights")
    (folder / "model").symlink_to("../../blobs/x")
    (folder / "deep/own").symlink_to("../model")
    raise_if_linked_out(folder)
    for target in (tmp_path / "other", tmp_path / "other/none", Path("../../../other")):
        (folder / "deep/out").symlink_to(target)
        with refused("files.raise_if_linked_out", "deep/out"):
            raise_if_linked_out(folder)
        (folder / "deep/out").unlink()
