"""What is recorded of where a stage ran, and what is found when it is asked for."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from flows.tracking.environment_record import FILE, differences, present, recorded


def test_it_names_the_processor_python_and_every_package() -> None:
    here = present()
    assert list(here)[:3] == ["processor", "system", "python"]
    assert here["processor"]
    assert {"torch", "prefect", "dvc", "mlflow", "numpy"} <= set(here)
    assert list(here)[3:] == sorted(list(here)[3:])


def test_differences_are_named_one_by_one() -> None:
    then = {"processor": "old", "torch": "2.12.0", "numpy": "2.4.0", "gone": "1"}
    here = {"processor": "new", "torch": "2.12.0", "numpy": "2.4.1"}
    assert differences(then, then) == []
    told = ["processor: old then, new here", "numpy: 2.4.0 then, 2.4.1 here", "gone: 1 then, none here"]
    assert differences(then, here) == told


@pytest.mark.usefixtures("mlflow_tables")
def test_the_record_of_the_inputs_that_were_completed_last_is_found(tmp_path: Path) -> None:
    mlflow = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = mlflow.create_experiment("somewhere", (tmp_path / "artifacts").as_uri())

    def run(fingerprint: str, outcome: str, versions: dict[str, str]) -> None:
        made = mlflow.create_run(
            experiment, tags={"stage": "pretrain@causal", "fingerprint": fingerprint, "outcome": outcome}
        )
        mlflow.log_dict(made.info.run_id, versions, FILE)

    run("aa", "Completed", {"torch": "1"})
    run("aa", "Completed", {"torch": "2"})
    run("aa", "Failed", {"torch": "3"})
    run("bb", "Completed", {"torch": "4"})
    assert recorded(mlflow, "pretrain@causal", "aa") == {"torch": "2"}
    assert recorded(mlflow, "pretrain@causal", "cc") == {}
