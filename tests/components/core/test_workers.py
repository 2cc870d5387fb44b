"""Pools: order, neutrality, one thread each, and no worker that outlives its parent."""

import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from components.core.errors import UserError
from components.core.workers import pool
from tests.errors import refused

ROOT = Path(__file__).resolve().parents[3]


def slow_square(number: int) -> int:
    time.sleep(0.02 * (number % 3))  # later items finish first
    return number * number


def facts_of_worker(_: int) -> tuple[int, str | None]:
    return os.getpid(), os.environ.get("OMP_NUM_THREADS")


def fail_at(limit: int, number: int) -> int:
    if number == limit:
        raise UserError(f"item {number} is bad; remove it")
    return number


def end_self(_: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_come_in_the_order_of_the_items_from_processes_of_one_thread(workers: int) -> None:
    with pool(workers) as running:
        assert list(running.map(slow_square, range(20))) == [n * n for n in range(20)]
        facts = list(running.map(facts_of_worker, range(6)))
    assert {pid == os.getpid() for pid, _ in facts} == {workers == 1}
    assert workers == 1 or {threads for _, threads in facts} == {"1"}


def test_items_are_taken_as_results_are_wanted() -> None:
    taken = []

    def items():
        for number in range(1000):
            taken.append(number)
            yield number

    with pool(2) as running:
        results = running.map(slow_square, items())
        assert [next(results) for _ in range(3)] == [0, 1, 4]
        assert len(taken) <= 3 + 8


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_for_the_user_comes_through_whole(workers: int) -> None:
    with pytest.raises(UserError, match="item 3"), pool(workers) as running:
        list(running.map(functools.partial(fail_at, 3), range(10)))


def test_a_killed_worker_is_explained() -> None:
    with refused("workers.Processes.map", "2", "runtime.workers"), pool(2) as running:
        list(running.map(end_self, range(4)))


def test_main_is_not_imported_again_in_workers(tmp_path: Path) -> None:
    main = tmp_path / "heavy_main.py"
    main.write_text(
        "import os\nfrom components.core.workers import pool\n"
        "print('imported', __name__, flush=True)\n"
        "if __name__ == '__main__':\n"
        "    with pool(2) as running:\n        assert sum(running.map(abs, range(5))) == 10\n"
        "    assert __file__.endswith('heavy_main.py')\n"
    )
    done = subprocess.run(
        [sys.executable, main], env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["imported __main__"]


@pytest.mark.skipif(sys.platform != "linux", reason="the death signal is Linux's")
def test_workers_die_with_a_killed_parent(tmp_path: Path) -> None:
    program = (
        "import time\nfrom components.core.workers import pool\n"
        "with pool(2) as running:\n    list(running.map(time.sleep, [60, 60, 60]))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    workers: list[psutil.Process] = []
    while len(workers) < 3:  # two workers and multiprocessing's resource tracker
        time.sleep(0.05)
        workers = psutil.Process(parent.pid).children(recursive=True)
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert not alive
