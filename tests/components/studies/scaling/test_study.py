"""The scaling study: what it predicted it wrote down before it looked, and that is what it runs."""

from pathlib import Path

import pytest

from components.core.files import read_json
from components.params import Numerics
from components.studies.scaling.fits import Fits
from components.studies.scaling.law import Law
from components.studies.scaling.report import predictions
from components.studies.scaling.study import ScalingStudy
from components.studies.scaling.sweep import Cell, plan
from components.studies.trainings import Workplace
from tests.components.studies.scaling.test_sweep import PARAMS, made_up

LAWS = (Law(1.0, 500.0, 0.7, 60.0, 0.35), Law(1.0, 3000.0, 0.7, 6.0, 0.35))


def test_a_resumed_sweep_that_fits_another_law_makes_the_runs_that_it_predicted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the predictions; the next start's fit (another scipy, another processor) prefers another width."""
    fit, ran = Fits.of, list[str]()

    def run(cells: list[Cell]) -> list[dict]:
        ran.extend(cell.name for cell in cells if cell.purpose == "check")
        if any(cell.purpose == "check" for cell in cells) and len(ran) == len(cells):
            raise KeyboardInterrupt
        return made_up(cells, LAWS[0])

    study, reports = ScalingStudy(PARAMS, Workplace(tmp_path, tmp_path, Numerics())), tmp_path / "reports"
    study.tokens.mkdir()
    with pytest.raises(KeyboardInterrupt):
        study.carry_out(run, reports)
    refitted = Fits.of(PARAMS, made_up(plan(PARAMS), LAWS[1]))
    assert predictions(refitted)[0]["width"] != read_json(tmp_path / "predictions.json")[0]["width"]
    monkeypatch.setattr(Fits, "of", lambda params, results: refitted if results else fit(params, results))
    goals = study.carry_out(run, reports)
    assert ran[:2] == ran[2:]
    found = read_json(reports / "scaling.json")
    assert [len(row["losses"]) for row in found["checks"]] == [PARAMS.seeds]
    assert found["goals"].keys() == goals.keys()
