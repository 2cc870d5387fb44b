"""View of a run of the pipeline as a whole, in the terminal and on its page in Prefect."""

import os
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.client.orchestration import get_client

from components.carbon.footprint import intensity
from components.carbon.ledger import reader
from components.carbon.planning.forecast import total
from components.core.errors import UserError
from components.core.plain_text import without_quotations
from components.reporting.tables import ranged
from flows.execution.pipeline_run import PipelineRun
from flows.planning import step_cost
from flows.planning.stage_forecast import Spent, expected
from flows.system import dvc, paths
from flows.tracking.mlflow_run import describe_comparison, energy, experiment_id, primary
from flows.tracking.mlflow_view import run_page
from flows.tracking.record import print_failure

CLASSIFY = "finetune@classify"
OPEN_END = f"; {CLASSIFY} trains 1 to 5 more networks, until it is clear whether TF-IDF is better"


def show_forecast(run: PipelineRun) -> None:
    """Forecast of the run."""
    rows, sentence = forecast(run)
    print(f"pipeline: {sentence}", flush=True)
    create_table_artifact(rows, key="forecast", description=f"Forecast: {sentence}")


def link(run: PipelineRun, run_id: str) -> None:
    """The way from the run's page in Prefect to its record in MLflow, if that has pages."""
    if (address := os.environ["MLFLOW_TRACKING_URI"]).startswith("http"):
        page, text = run_page(address, experiment_id(run.recorder.client), run_id), f"{run.name} in MLflow"
        create_link_artifact(page, link_text=text, key="mlflow", description="This run in MLflow")


def show(run: PipelineRun, states: dict[str, str]) -> None:
    """The run as a table, the summary and the models' cards."""
    create_table_artifact(rows(run, states), key="pipeline", description="What ran, how long it took, what it used")
    reports = run.root / "reports"
    pages = {f"card-{path.parent.name}": path for path in sorted((reports / "cards").glob("*/README.md"))}
    for key, path in ({"summary": reports / "summary.md"} | pages).items():
        if path.exists():  # a card begins with metadata for the hub, between two lines of dashes
            text = path.read_text(encoding="utf-8").split("\n---\n", 1)[-1]
            create_markdown_artifact(without_quotations(text), key=key, description=key.replace("-", " ", 1))


def show_result(run: PipelineRun, verdict: str = "", lines: Sequence[str] = ()) -> None:
    """How a run compares, or what it scored, and its energy: first on its pages in Prefect and MLflow.

    Args:
        verdict: what the comparison (`lines`) with the workspace before the run says, in few words.
    """
    head = [verdict or primary(run.metrics)[1], energy(run.metrics)]
    with get_client(sync_client=True) as client:
        tags = client.read_flow_run(UUID(run.flow_run)).tags
        client.update_flow_run(UUID(run.flow_run), tags=[*filter(None, head), *tags])
    if not verdict:
        return
    page = "\n".join([verdict, "", "```", *lines, "```", ""])
    create_markdown_artifact(page, key="against-workspace", description="Which is better, by how much, what it cost")
    try:
        describe_comparison(run.recorder.client, run.recorder.open(), verdict, page)
    except Exception as error:  # the record must not take the work down with it
        print_failure(error)


def rows(run: PipelineRun, states: dict[str, str]) -> list[dict[str, Any]]:
    """The table of the run: what each stage ended as, what it took, and what it was expected to take."""
    used, table = grams(run), []
    for stage, state in states.items():
        timing, result = run.timings.get(stage), run.results.get(stage)
        part = Spent(**result.spent) if result and result.spent else None
        row = {
            "stage": stage,
            "state": state,
            "seconds": round(timing.ended - timing.began, 1) if timing else 0.0,
            "Wh": f"{1000 * part.kwh:.3g}" if part else "",
            "forecast Wh": f"{1000 * part.forecast_kwh:.3g}" if part and part.forecast_kwh else "",
            "gCO2e": f"{used[stage]:.3g}" if stage in used else "",
        }  # fmt: skip
        table.append(row)
    return table


def grams(run: PipelineRun) -> dict[str, float]:
    """CO2e of each stage that this run started, by the ledger (mid); empty, and said, if the grid is not known."""
    try:
        grid = intensity.resolve(run.params.runtime.grid, run.root)
    except UserError as error:
        print(f"no grams of CO2e: {error}", flush=True)
        return {}
    stages = reader.read(paths.LEDGER).select(run=run.name).by("stage")
    return {stage: grid.grams(spans.hours).mid for stage, spans in stages.items()}


def forecast(run: PipelineRun) -> tuple[list[dict[str, str]], str]:
    """Forecast of the stages that may run: a row for each, and a sentence for all together."""
    books, rates = reader.history(paths.LEDGER), step_cost.known(run.params)
    todo = dvc.downstream(run.stages, run.stale)
    parts = {stage: expected(books, stage, "", run.params, rates) for stage in run.stages if stage in todo}
    known = [part for part in parts.values() if part]
    seconds, kwh = total([part.seconds for part in known]), total([part.kwh for part in known])
    rows = [
        {"stage": stage, "seconds": f"{part.seconds.mid:.3g}", "Wh": f"{1000 * part.kwh.mid:.3g}", "by": part.basis}
        if part else {"stage": stage, "seconds": "", "Wh": "", "by": "no run here to go by"}
        for stage, part in parts.items()
    ]  # fmt: skip
    took = f"{ranged(seconds.as_list(), 's', '.0f')} and {ranged([1000 * x for x in kwh.as_list()], 'Wh', '.2g')}"
    sentence = f"by themselves about {took}" if known else "no run here to go by"
    less = ""
    if 0 < len(known) < len(parts):
        sentence = f"{len(known)} of them that ran or were calibrated here about {took}"
        less = f"; of the other {len(parts) - len(known)} nothing is known"
    if other := [part for part in known if not part.alike]:
        less += f"; by runs with other settings for {len(other)}, so it may be far off"
    sentence = f"{len(parts)} of {len(run.stages)} stages may run, {sentence}{less}"
    return rows, sentence + (OPEN_END if CLASSIFY in parts else "")
