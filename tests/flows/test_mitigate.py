"""`python -m flows.mitigate` in a house that has run: three arms, their differences, children in MLflow; read back."""

import json

import pytest
from conftest import House

pytestmark = [pytest.mark.house]

CHILDREN = """
from flows import house, snapshots; house.settle()
client = snapshots._mlflow()
runs = client.search_runs([client.get_experiment_by_name(house.EXPERIMENT).experiment_id], "tags.stage = 'mitigate'")
print(sorted((run.data.tags["arm"], run.data.params["seed"], "gap" in run.data.metrics) for run in runs))
"""


def test_the_trial(grown_house: House) -> None:
    before = grown_house.git("status", "--porcelain")
    said = grown_house.run("flows.mitigate")
    assert "[6/6] random, seed 2" in said
    assert "| difference, counterfactual - random | " in said
    reports = grown_house.root / "reports/mitigate"
    first = (reports / "mitigate.json").read_bytes()
    assert {path.name for path in reports.iterdir()} == {"mitigate.json", "report.md", "plots"}
    assert len(json.loads(first)["runs"]) == 6
    arms = [(arm, seed, True) for arm in ("counterfactual", "none", "random") for seed in ("1", "2")]
    assert grown_house.run_code(CHILDREN) == str(arms)
    models = list((grown_house.root / ".greenhouse/work/mitigate").glob("*/*/model/model.safetensors"))
    made = {path: path.stat().st_mtime_ns for path in models}
    assert len(made) == 6
    grown_house.run("flows.mitigate")
    assert {path: path.stat().st_mtime_ns for path in models} == made, "finished models are read back"
    assert (reports / "mitigate.json").read_bytes() == first
    assert grown_house.git("status", "--porcelain") == before
