"""Benchmarks by name: every name runs modules that exist, an unknown one is a sentence that lists the others."""

import importlib.util
from pathlib import Path

import pytest

from benchmarks import __main__ as entry


def test_every_benchmark_runs_modules_that_exist() -> None:
    modules = {command[0] for benchmark in entry.BENCHMARKS.values() for command in benchmark.commands} - {"pip"}
    assert {"benchmarks.data", "benchmarks.train", "flows.cli", "pytest"} <= modules
    assert not [module for module in modules if importlib.util.find_spec(module) is None]


def test_an_unknown_name_is_one_sentence_with_all_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.main(["trian"]) == 2
    said = capsys.readouterr().err
    assert said == f"No benchmark is named 'trian'; there are {', '.join(entry.BENCHMARKS)}.\n"


def test_options_go_to_the_last_module_and_a_failure_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []

    def run(command: list[str], cwd: Path) -> object:
        ran.append(command[2:])
        return type("Done", (), {"returncode": 3 if command[2] == "pip" else 0})

    monkeypatch.setattr(entry.subprocess, "run", run)
    assert entry.main(["scaling", "--seeds", "1"]) == 0
    assert ran == [
        ["flows.cli", "study", "scaling", "--sweep", "benchmarks/scaling.yaml"],
        ["benchmarks.train", "--scaling", "--seeds", "1"],
    ]
    ran.clear()
    assert entry.main(["data"]) == 3
    assert ran == [list(entry.PEERS)]
