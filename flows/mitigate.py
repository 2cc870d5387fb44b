"""Prove counterfactual augmentation, or not: models trained with it, without it, and with as much repeated text.

    python -m flows.mitigate

Reads what the pipeline made (data/bias, data/tokenize, data/ingest/heldout), trains `mitigate.seeds` models per arm in
`runtime.workers` processes, and compares spread of the pronoun gap and bits per byte seed by seed. Each model is a
child run in MLflow. Killed and started again, it reads finished models back and goes on. Results: reports/mitigate/.
"""

from pathlib import Path

from components.params import Mitigate, Params
from flows.execution import cli
from flows.execution.stage import Study
from flows.system import paths
from flows.system.command import parser_of, run_command


def run_study(name: str, params: Params, settings: Mitigate) -> Path:
    """Train models with counterfactual augmentation, without, and with random augmentation of equal size; compare."""
    from flows.execution import mitigation_run

    return mitigation_run.run_study(STUDY, name, params, settings)


STUDY = Study("mitigate", Mitigate, "With augmentation, without, and the control", run_study)


def main() -> int:
    """Run the trial from a terminal."""
    parser_of("mitigate", __doc__).parse_args()
    from flows.forms import study_form

    return cli.run(study_form(STUDY), paths.ROOT / "reports" / "mitigate" / "report.md")


if __name__ == "__main__":
    run_command("mitigate", main)
