"""Files of a job by way of a shared folder: it runs in a folder of its own, and what it wrote comes back."""

import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from components.cluster.file_exchange import Exchange, carried_out, moved
from components.core.errors import UserError
from components.core.files import write_text
from components.params import Dedup
from tests.errors import refused, refuses


def double(paths: tuple[Path, Path]) -> str:
    """Write the text of the first path twice into the second, and a note; say where."""
    source, target = paths
    write_text(target / "twice.txt", 2 * source.read_text())
    write_text(target / "done", "")
    return str(source)


def complain(path: Path) -> None:
    raise UserError(f"{path}: bad; mend it")


@pytest.fixture
def exchange(tmp_path: Path) -> Exchange:
    (tmp_path / "shared").mkdir()
    return Exchange.under(str(tmp_path / "shared"))


@pytest.fixture(autouse=True)
def nodes_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    disk = tmp_path / "node"
    disk.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    return disk


def test_a_job_sees_only_what_was_sent_and_its_files_come_back(
    exchange: Exchange, nodes_disk: Path, tmp_path: Path
) -> None:
    source, target = tmp_path / "driver" / "in.txt", tmp_path / "driver" / "out"
    write_text(source, "ab")
    name = exchange.send(source)
    source.unlink()  # the job has its copy
    where, wrote = carried_out(double, (source, target), [(source, name)], exchange)
    assert where.startswith(str(nodes_disk))
    assert [path for path, _ in wrote] == [target / "twice.txt", target / "done"], "in the order of writing"
    assert not target.exists()
    assert not list(nodes_disk.iterdir()), "a job's folder is removed"
    for path, name in wrote:
        exchange.fetch(name, path)
    assert (target / "twice.txt").read_text() == "abab"
    refuses(lambda: exchange.fetch("0" * 32, tmp_path / "copy"), "file_exchange._reached", "runtime.work_path", "read")
    assert not (tmp_path / "copy").exists()
    other = Exchange.under(str(tmp_path / "shared"))
    exchange.remove()
    assert [path.name for path in (tmp_path / "shared").iterdir()] == [Path(other.address).name], "each run has its own"


def test_an_error_names_the_drivers_path(exchange: Exchange, nodes_disk: Path) -> None:
    with refused("file_exchange.carried_out", "/data/in.txt: bad; mend it"):
        carried_out(complain, Path("/data/in.txt"), [], exchange)
    assert not list(nodes_disk.iterdir())


@dataclass(frozen=True)
class Job:
    shard: Path
    settings: Dedup
    numbers: np.ndarray


def test_paths_move_wherever_they_are_in_a_job_and_nothing_else_does() -> None:
    node, settings, numbers = Path("/node"), Dedup(), np.arange(3)
    job = {"deep": [(Path("/a/b"), "/a/b")], "relative": Path("a"), "job": Job(Path("/c"), settings, numbers)}
    found = moved(job, node)
    sent = found.pop("job")
    assert found == {"deep": [(Path("/node/a/b"), "/a/b")], "relative": Path("a")}
    # Field by field: from Python 3.13 on, dataclasses that hold arrays cannot be compared.
    assert (type(sent), sent.shard, sent.settings) == (Job, Path("/node/c"), settings)
    assert sent.numbers is numbers
    bound = moved(partial(double, Path("/d"), work=Path("/e")), node)
    assert (bound.func, bound.args, bound.keywords) == (double, (Path("/node/d"),), {"work": Path("/node/e")})


@pytest.mark.parametrize("value", [{Path("/a")}, iter([Path("/a")]), partial(map, object())])
def test_what_might_hide_a_path_does_not_travel(value: object) -> None:
    refuses(lambda: moved(value, Path("/node")), "file_exchange.moved")


@pytest.mark.parametrize("path", ["nosuchstore://bucket/prefix", "/proc/no/such"])
def test_a_work_path_that_cannot_be_used_is_refused(path: str) -> None:
    refuses(lambda: Exchange.under(path), "file_exchange._reached", "runtime.work_path", path, "written")
