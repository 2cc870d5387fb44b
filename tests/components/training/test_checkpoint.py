"""Checkpoints: the newest whole one is found, damaged and half-written ones are passed over."""

import shutil
import threading
import time
from pathlib import Path

import pytest
import torch

from components.core.files import read_json, write_text
from components.training import checkpoint


def write_model(folder: Path) -> None:
    from components.model.export import save_tensors

    assert folder.is_dir()
    save_tensors({"weight": torch.arange(1000.0)}, folder / "model.safetensors")


def save(work: Path, step: int, keep: int = 9) -> Path:
    return checkpoint.save(
        work, step, keep, write_model, {"momentum": torch.full((5,), float(step))}, {"evals": [step]}
    )


def test_it_reads_what_it_saved_and_keeps_the_newest(tmp_path: Path) -> None:
    for step in (0, 4, 8, 12):
        folder = save(tmp_path, step, keep=2)
    assert checkpoint.steps(tmp_path) == [12, 8]
    assert checkpoint.newest(tmp_path, print) == 12
    assert folder == checkpoint.folder_of(tmp_path, 12) == tmp_path / "step-000012"
    model, tensors, state = checkpoint.read(folder)
    assert torch.equal(model["weight"], torch.arange(1000.0))
    assert tensors["momentum"].tolist() == [12.0] * 5
    assert state == {"evals": [12]}


def test_a_damaged_one_is_skipped_with_a_message(tmp_path: Path) -> None:
    save(tmp_path, 4)
    for step, name in ((8, "trainer.safetensors"), (12, "model.safetensors")):
        path = save(tmp_path, step) / name
        content = bytearray(path.read_bytes())
        content[-3] ^= 1
        path.write_bytes(content)
    (save(tmp_path, 16) / "files.json").unlink()
    said: list[str] = []
    assert checkpoint.newest(tmp_path, said.append) == 4
    assert len(said) == 3
    assert "step-000012 is damaged (model.safetensors does not match" in said[1]


def test_one_that_was_being_written_when_killed_does_not_count(tmp_path: Path) -> None:
    assert checkpoint.newest(tmp_path / "absent", print) is None
    save(tmp_path, 4)
    write_text(tmp_path / ".step-000008" / "model.safetensors", "half")
    assert checkpoint.newest(tmp_path, print) == 4
    save(tmp_path, 8)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000004", "step-000008"]


def test_all_is_on_disk_before_the_rename_and_the_rename_before_an_older_one_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a power cut leaves is what had been synced."""
    save(tmp_path, 4)
    seen: list[tuple[str, list[str], list[str]]] = []

    def note(folder: Path) -> None:
        if folder.name in (".step-000008", tmp_path.name):
            names = sorted(path.name for path in tmp_path.iterdir())
            seen.append((folder.name, names, sorted(path.name for path in folder.iterdir())))

    monkeypatch.setattr(checkpoint, "sync_folder", note)
    save(tmp_path, 8, keep=1)
    whole, renamed = ["files.json", "model.safetensors", "trainer.safetensors"], ["step-000004", "step-000008"]
    assert seen == [(".step-000008", [".step-000008", "step-000004"], whole), (tmp_path.name, renamed, renamed)]
    assert checkpoint.steps(tmp_path) == [8]


def test_equal_checkpoints_are_equal_bytes(tmp_path: Path) -> None:
    """With two entries of metadata safetensors wrote them in an order of its own."""
    folders = [save(tmp_path / str(number), 1) for number in range(8)]
    assert len({(folder / "trainer.safetensors").read_bytes() for folder in folders}) == 1


def test_what_is_published_are_whole_checkpoints_of_every_so_many_steps_and_the_last(tmp_path: Path) -> None:
    for step in (0, 3, 4, 8, 9):
        save(tmp_path / "a" / "work", step)
    checkpoint.publish(tmp_path / "a" / "work", tmp_path / "b" / "kept", every=4)
    index = read_json(tmp_path / "b" / "kept" / "index.json")
    assert list(index) == ["step-000000", "step-000004", "step-000008", "step-000009"]
    for name, files in index.items():
        assert checkpoint.damage(tmp_path / "b" / "kept" / name) is None
        assert files == read_json(tmp_path / "a" / "work" / name / "files.json")
    checkpoint.publish(tmp_path / "a" / "work", tmp_path / "b" / "kept", every=0)
    assert [path.name for path in (tmp_path / "b" / "kept").iterdir()] == ["index.json"]


def test_a_disk_without_hard_links_gets_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(checkpoint.os, "link", refuse)
    folder = save(tmp_path / "work", 4)
    checkpoint.publish(tmp_path / "work", tmp_path / "kept", every=4)
    assert checkpoint.damage(tmp_path / "kept" / folder.name) is None
    assert (tmp_path / "kept" / folder.name / "model.safetensors").stat().st_nlink == 1


def test_an_old_one_that_is_gone_meanwhile_is_no_error(tmp_path: Path) -> None:
    for step in (0, 4):
        save(tmp_path, step)

    def removed(step: int) -> bool:
        shutil.rmtree(checkpoint.folder_of(tmp_path, step))
        return False

    checkpoint.save(tmp_path, 8, 2, write_model, {"momentum": torch.ones(2)}, {}, removed)
    assert checkpoint.steps(tmp_path) == [8, 4]


@pytest.mark.parametrize(("asynchronous", "thread"), [(False, threading.main_thread().name), (True, "checkpoint_0")])
def test_a_write_is_made_where_it_shall_be_and_waited_for(asynchronous: bool, thread: str) -> None:
    wrote: list[str] = []

    def write() -> None:
        time.sleep(0.02)
        wrote.append(threading.current_thread().name)

    with checkpoint.CheckpointWriter() as writer:
        writer.write(write, asynchronous)
        writer.finish()
        assert wrote == [thread]
        writer.finish()  # nothing is pending
        writer.write(write, asynchronous)
    assert wrote == [thread] * 2


def test_an_error_of_a_write_on_the_thread_is_raised_where_it_is_waited_for() -> None:
    def fail() -> None:
        raise OSError("the disk is full")

    with checkpoint.CheckpointWriter() as writer:
        writer.write(fail, asynchronous=True)
        with pytest.raises(OSError, match="the disk is full"):
            writer.finish()
    with pytest.raises(OSError, match="the disk is full"), checkpoint.CheckpointWriter() as writer:
        writer.write(fail, asynchronous=True)
    writer = checkpoint.CheckpointWriter()
    writer.write(fail, asynchronous=True)
    writer.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)  # what ended the run comes first


def test_writes_are_slow_that_take_more_than_a_hundredth_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """(begin, end) of each write, and whether it counts as slow: measured from the end of the one before."""
    writes = {(0, 900): False, (1899, 1900): False, (1998, 2000): True, (2296, 2300): True, (2997, 3000): False}
    times = iter([second for write in writes for second in write])
    monkeypatch.setattr(checkpoint, "perf_counter", lambda: next(times))
    with checkpoint.CheckpointWriter() as writer:
        for slow in writes.values():
            writer.write(lambda: None, asynchronous=False)
            assert writer.slow is slow
