"""Checkpoints in a store: a machine that lost its disk goes on from the newest whole one, to the same bytes."""

import shutil
from pathlib import Path

import fsspec
import pytest

from components.core.errors import Stopped
from components.training import checkpoint
from components.training.mirror import Mirror
from tests.components.training.test_loop import run, same, weights
from tests.errors import refuses
from tests.local_store import store  # noqa: F401 - a fixture
from tests.progress_recorder import Recorder, stops_at


def test_a_lost_disk_is_made_good_from_the_store(store: str, tmp_path: Path) -> None:  # noqa: F811
    work = tmp_path / "pretrain@causal" / "abc"
    recorder = Recorder()
    mirror = Mirror.under(store, work, recorder.log)
    assert mirror is not None
    whole, _ = run(tmp_path / "whole")
    with pytest.raises(Stopped):
        run(work, progress=stops_at(11), mirror=mirror)
    assert checkpoint.steps(work)[0] == 11
    system, root = fsspec.core.url_to_fs(mirror.address)
    names = {path.rpartition("/")[2] for path in system.ls(root, refresh=True)}
    assert names == {path.name for path in work.iterdir()}, "old ones are removed in both"
    system.pipe_file(f"{root}/step-000011/model.safetensors", b"half")
    shutil.rmtree(work)
    resumed, _ = run(work, mirror=mirror)
    assert same(weights(resumed), weights(whole))
    assert any("step-000011" in line and "is damaged" in line for line in recorder.lines)
    assert any("step-000010 was copied from s3://" in line for line in recorder.lines)


def test_an_older_checkpoint_on_this_disk_gives_way_to_a_newer_one_in_the_store(
    store: str,  # noqa: F811
    tmp_path: Path,
) -> None:
    work, recorder = tmp_path / "pretrain@causal" / "jkl", Recorder()
    mirror = Mirror.under(store, work, recorder.log)
    with pytest.raises(Stopped):
        run(work, progress=stops_at(11), mirror=mirror)
    shutil.rmtree(checkpoint.folder_of(work, 11))
    assert checkpoint.steps(work)[0] == 10
    resumed, _ = run(work, mirror=mirror)
    assert same(weights(resumed), weights(run(tmp_path / "whole")[0]))
    assert any("step-000011 was copied from s3://" in line for line in recorder.lines)


def test_a_newer_checkpoint_on_this_disk_wins(store: str, tmp_path: Path) -> None:  # noqa: F811
    work, recorder = tmp_path / "pretrain@causal" / "def", Recorder()
    run(work, mirror=Mirror.under(store, work, recorder.log))
    run(work, mirror=Mirror.under(store, work, recorder.log))
    assert not recorder.lines


def test_what_cannot_be_sent_is_said_and_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    work, recorder = tmp_path / "pretrain@causal" / "ghi", Recorder()
    mirror = Mirror.under("nowhere://bucket", work, recorder.log)
    assert mirror is not None
    refuses(lambda: run(work, mirror=mirror), "Mirror.fetch_newer", "runtime.work_path", mirror.address)
    run(work)
    mirror.send(checkpoint.folder_of(work, 12), [12])
    assert "step-000012 was not copied" in recorder.lines[-1]
