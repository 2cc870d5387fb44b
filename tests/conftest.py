"""How the suite is spread over processes: by file, what takes long first, and one process for the finished clone.

`--dist loadgroup` of xdist 3.8 has no effect under pytest 9.2: it writes `item._nodeid`, which pytest no longer reads.
"""

import os
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import dvc  # noqa: F401 - it logs to what is the standard output at its first import: of one test, that is soon closed
import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")  # by default an example that takes 200 ms fails, as any does on a busy machine

WORK = ("finished_clone", "mark.pipeline", "mark.slow")
"""Words of a test file that tell how long it takes, from the longest."""


@cache
def work(path: Path) -> int:
    """Rank of a test file by the time it takes; 0 for quick ones."""
    text = path.read_text(encoding="utf-8")
    return next((len(WORK) - rank for rank, word in enumerate(WORK) if word in text), 0)


@cache
def waits(path: Path) -> bool:
    """Whether a test file asks for what the finished clone made: too early, its process would wait for another."""
    return "finished_outputs" in path.read_text(encoding="utf-8")


class ByFile(LoadScopeScheduling):
    """A scheduler that gives each file to one process, and all that use the session's finished clone to the same."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        return WORK[0] if work(self.config.rootpath / file) == len(WORK) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    config.option.loadscopereorder = False  # in the order of the collection, not by the number of tests
    return ByFile(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes long begins first, so that the processes end together."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: (-work(item.path), waits(item.path)))


@pytest.fixture(autouse=True)
def _no_store_of_an_earlier_test(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """MLflow keeps an address that it was told for the whole process; none is that of this checkout's own records."""
    if "MLFLOW_TRACKING_URI" in os.environ:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{tmp_path_factory.getbasetemp()}/of-no-test.db"
    yield
    if mlflow := sys.modules.get("mlflow"):
        address = os.environ.get("MLFLOW_TRACKING_URI")
        mlflow.set_tracking_uri(None)
        if address:
            os.environ["MLFLOW_TRACKING_URI"] = address
