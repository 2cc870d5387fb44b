"""The evaluate stage as a Prefect flow; `python -m flows.evaluate` has DVC reproduce it."""

from components.core.report import Report
from components.params import Evaluate
from flows.execution.stage import Place, Stage
from flows.execution.stage_process import State, flow, main, run_as_flow


def call(place: Place, branch: str) -> Report:
    """Run the stage function on the stage's inputs."""
    from components.stages.evaluate.stage import evaluate as examine

    models = place.root / "models"
    return examine(
        causal=models / "pretrain/causal",
        masked=models / "pretrain/masked",
        instruct=models / "finetune/instruct",
        classify=models / "finetune/classify",
        mix=place.root / "data/mix",
        heldout=place.root / "data/ingest/heldout",
        params=place.params.evaluate,
        numerics=place.params.numerics,
        reports=place.reports,
        work=place.work,
        workers=place.params.runtime.workers,
        progress=place.progress,
    )


STAGE = Stage("evaluate", call, folder="")


@flow(name="evaluate")
def evaluate(params: Evaluate | None = None, params_hash: str = "") -> State:
    """Examine the models: every answer with an interval and a chance level.

    Args:
        params: the stage's section of params.yaml; changed values make an experiment.
        params_hash: leave it as it is: it shows which params.yaml the form was filled from.
    """
    return run_as_flow(STAGE, "", params, params_hash)


if __name__ == "__main__":
    main(STAGE, evaluate)
