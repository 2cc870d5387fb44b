"""What is deleted is the checkout's own, whatever links lead out of it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.system import paths
from flows.system.disk import human, removable, remove_path
from tests.errors import refused


@pytest.fixture
def checkout(tmp_path: Path, checkout_at: Callable[[Path], Path]) -> Path:
    """A checkout with its state folder, beside a folder of another one."""
    root = checkout_at(tmp_path / "checkout")
    (root / ".greenhouse" / "mlartifacts").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "weights").write_bytes(b"12345")
    return root


def test_what_lies_elsewhere_is_refused_in_one_sentence(checkout: Path) -> None:
    other = checkout.parent / "other"
    (checkout / "data").symlink_to(other)
    up = checkout / ".greenhouse" / ".." / ".." / "other" / "weights"
    for path in (other / "weights", other, checkout / "data" / "weights", up, checkout, checkout / ".greenhouse"):
        for refuse in (remove_path, lambda path: removable("weights", path)):
            with refused("raise_if_foreign", path):
                refuse(path)
    assert (other / "weights").exists()


def test_a_state_folder_behind_a_link_may_be_that_of_another_checkout(checkout: Path) -> None:
    (checkout / ".greenhouse").rename(checkout.parent / "state")
    (checkout / ".greenhouse").symlink_to(checkout.parent / "state")
    with refused("raise_if_foreign", checkout.parent / "state" / "mlartifacts"):
        remove_path(checkout / ".greenhouse" / "mlartifacts")
    assert (checkout.parent / "state" / "mlartifacts").exists()


def test_a_state_folder_with_a_place_of_its_own_is_the_checkouts(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "STATE", checkout.parent / "other")
    item = removable("weights", checkout.parent / "other" / "weights")
    assert (item.label, item.num_bytes) == ("weights", 5)
    item.remove()
    assert not (checkout.parent / "other" / "weights").exists()


def test_what_is_gone_already_is_no_error(checkout: Path) -> None:
    remove_path(checkout / "removed by another")


def test_a_link_goes_and_what_it_leads_to_stays_as_it_is(checkout: Path) -> None:
    weights = checkout.parent / "other" / "weights"
    weights.chmod(0o400)
    folder = checkout / "models"
    folder.mkdir()
    (folder / "link").symlink_to(weights)
    (folder / "file").touch()
    folder.chmod(0o500)
    remove_path(folder)
    assert not folder.exists()
    assert weights.stat().st_mode & 0o777 == 0o400
    assert os.access(weights.parent, os.W_OK)


def test_bytes_are_said_as_a_person_reads_them() -> None:
    assert [human(n) for n in (0, 999, 1500, 2_340_000, 5e9)] == ["0 B", "999 B", "1.5 kB", "2.3 MB", "5.0 GB"]
