"""Flipped bytes and cut files: named in a sentence by whoever opens them first, never trained on, no traceback."""

import os
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo

from components.corpus.corpus import CorpusWriter, Document, read_corpus, shard_paths
from flows.system import dvc
from tests.errors import refused, refuses


def flip(path: Path, bit: int) -> None:
    """Flip one bit; the file's size and time stay, as with a fault of the disk."""
    status, data = path.stat(), bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.chmod(0o644)
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of two stages that DVC has reproduced."""
    Repo.init(str(tmp_path), no_scm=True).close()
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n  one:\n    cmd: mkdir -p out && echo first > out/a && echo second > out/b\n    outs: [out]\n"
        "  two:\n    cmd: cp out/a copy\n    deps: [out]\n    outs: [copy]\n"
    )
    dvc.run("repro", root=tmp_path)
    return tmp_path


def test_a_flipped_byte_of_an_input_is_named_and_its_copy_in_the_cache_repairs_it(project: Path) -> None:
    dvc.inputs("two", project, intact=True)
    flip(project / "out/b", 9)
    assert dvc.stale(project) == {}  # DVC believes what it noted
    with refused("dvc._raise_if_changed", "out/b", f"`dvc checkout {project / 'out/b'}`"):
        dvc.inputs("two", project, intact=True)
    dvc.inputs("one", project, intact=True)
    dvc.raise_if_damaged(["two"], project)
    (project / "out/b").unlink()
    dvc.run("checkout", str(project / "out/b"), root=project)
    dvc.inputs("two", project, intact=True)


def test_a_flipped_byte_in_the_cache_is_named_when_it_was_restored(project: Path) -> None:
    with dvc.open_repo(project) as repo:
        out = next(out for out in repo.index.outs if out.def_path == "out")
        (cached,) = [Path(repo.cache.local.oid_to_path(found.value)) for key, (_, found) in
                     out.get_obj().as_dict().items() if key == ("a",)]  # fmt: skip
    flip(cached, 3)
    cached.chmod(0o444)  # as DVC protects it, and so trusts it
    (project / "out/a").unlink()
    with Repo(str(project)) as repo:
        repo.checkout(force=True)
    refuses(lambda: dvc.raise_if_damaged(["one"], project), "dvc._raise_if_changed", "out/a", cached)


def test_a_dvc_lock_without_a_hash_or_damaged_by_hand_is_a_sentence_with_advice(project: Path) -> None:
    lock = project / "dvc.lock"
    whole, stages = lock.read_text(), yaml.safe_load(lock.read_text())
    del stages["stages"]["two"]["outs"][-1]["md5"]
    for text, code in (
        (yaml.safe_dump(stages, sort_keys=False), "dvc._locked"),
        (whole.replace("stages:", "stagez:"), "dvc.open_repo.1"),
    ):
        lock.write_text(text)
        with refused(code, lock, "`git checkout dvc.lock`"):
            dvc.stale(project)


def test_a_list_of_readers_that_a_killed_dvc_left_half_written_stops_nothing(project: Path) -> None:
    """DVC empties the file, then writes it: killed in between, it refused to do anything ever after."""
    for text in ("", '{"write": {'):
        (project / ".dvc/tmp/rwlock").write_text(text)
        assert dvc.stale(project) == {}
        dvc.run("repro", root=project)


def corpus(folder: Path) -> Path:
    with CorpusWriter(folder, shard_bytes=200) as writer:
        for number in range(6):
            fields = dict.fromkeys(Document.__slots__[2:-1], "x")
            writer.add(Document(str(number), f"text {number} " * 20, **fields))
    return folder


def test_a_flipped_byte_of_a_shard_is_named_and_not_read(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "train")
    assert len(list(read_corpus(folder))) == 6
    flip(folder / "part-00001.parquet", 400)
    refuses(lambda: shard_paths(folder), "files.raise_if_changed.2", "part-00001.parquet")
    (folder / "part-00001.parquet").unlink()
    refuses(lambda: shard_paths(folder), "files.raise_if_changed.1", "part-00001.parquet")


LEDGER = [
    {"kind": "host", "host": "h", "t": "2026-01-01T00:00:00+00:00"},
    {"kind": "start", "span": "1", "parent": "", "name": "a", "labels": {"stage": "a"}, "t": "2026-01-01T00:00:01Z"},
    {"kind": "reading", "host": "h", "t": "2026-01-01T00:00:02+00:00", "dt_us": 10, "busy_us": 9, "counter": "rapl",
     "host_uj": {"cpu": [1, 2, 3]}, "source": {"cpu": "rapl"}, "spans": {"1": {"cpu_us": 5, "uj": {"cpu": [1, 1, 1]}}}},
    {"kind": "end", "span": "1", "outcome": "Completed", "uj": [1, 1, 1], "t": "2026-01-01T00:00:03+00:00"},
    {"kind": "forecast", "span": "1", "t": "2026-01-01T00:00:03+00:00", "stage": "a", "seconds": [1.0, 2.0, 3.0],
     "kwh": [0.1, 0.2, 0.3], "basis": "b"},
]  # fmt: skip
