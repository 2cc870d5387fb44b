"""A run whose budget is spent: a state of its own, exit 75, the stage undone; raised, it goes on to the same bytes."""

import pytest
from conftest import House

pytestmark = pytest.mark.house


def test_a_spent_budget_stops_and_a_raised_one_goes_on(fresh_house: House, grown_house: House) -> None:
    params = fresh_house.root / "params.yaml"
    without = params.read_text()
    fresh_house.edit("params.yaml", "    hours: 0.0  # Wall", "    hours: 0.002  # Wall")
    output = fresh_house.run("flows.pipeline", expect=75)
    assert "pipeline: BudgetReached after" in output
    assert "raise the budget in params.yaml and run again" in output
    name = fresh_house.ask(
        "from prefect.client.schemas.sorting import FlowRunSort\n"
        "runs = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC)\n"
        "print({run.state.name for run in runs} & {'BudgetReached', 'Failed', 'Crashed', 'AwaitingRetry'})"
    )
    assert name == "{'BudgetReached'}"
    undisturbed = grown_house.outputs()
    done = set(fresh_house.outputs()) if (fresh_house.root / "dvc.lock").exists() else set()
    assert "data/mix" not in done, "the budget was spent before"
    params.write_text(without)
    fresh_house.run("flows.pipeline", "--until", "mix")
    resumed = fresh_house.outputs()
    assert done < resumed.keys()  # what it stopped was not recorded, and now is
    assert "data/mix" in resumed
    assert resumed.items() <= undisturbed.items()
