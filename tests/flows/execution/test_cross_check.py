"""codecarbon beside a run, if asked for: its figures become labels, and its failures take nothing down."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from components.params import Grid, Params, Runtime
from flows.execution.cross_check import CrossCheck

FRANCE = Params(runtime=Runtime(grid=Grid(zone="FRA")))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """A codecarbon that measures 0.002 kg and 0.01 kWh; what its tracker was started with."""
    calls: list[dict] = []

    class OfflineEmissionsTracker:
        final_emissions_data = SimpleNamespace(energy_consumed=0.01)

        def __init__(self, **settings: object) -> None:
            calls.append(settings)

        def start(self) -> None:
            if calls[-1].get("country_iso_code") == "XXX":
                raise ValueError("no such country")

        def stop(self) -> float:
            return 0.002

    module = ModuleType("codecarbon")
    module.OfflineEmissionsTracker = OfflineEmissionsTracker  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "codecarbon", module)
    monkeypatch.setenv("GREENHOUSE_CODECARBON", "1")
    return calls


def test_its_figures_become_labels_in_our_units(asked: list[dict]) -> None:
    assert CrossCheck(FRANCE).labels() == {"codecarbon_kwh": "0.01", "codecarbon_grams": "2"}
    (settings,) = asked
    assert settings["country_iso_code"] == "FRA"
    assert settings["save_to_file"] is False
    assert CrossCheck(Params()).labels()
    assert "country_iso_code" not in asked[1]  # the world is no country


def test_nothing_starts_unless_asked_for(asked: list[dict], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GREENHOUSE_CODECARBON")
    assert CrossCheck(FRANCE).labels() == {}
    assert asked == []


def test_a_codecarbon_that_is_missing_or_refuses_is_said(
    asked: list[dict], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert CrossCheck(Params(runtime=Runtime(grid=Grid(zone="XXX")))).labels() == {}
    assert "codecarbon: not beside this run: ValueError: no such country" in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "codecarbon", None)
    assert CrossCheck(FRANCE).labels() == {}
    assert "codecarbon: not beside this run" in capsys.readouterr().out
