"""`greenhouse run`: the pipeline, or a part of it, from a terminal."""

import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from components import params as schema
from components.carbon.footprint.intensity import resolve
from components.carbon.ledger import reader
from components.carbon.planning.grid_schedule import Outlook, cleanest_start
from components.core.errors import UserError
from components.core.plain_text import plain
from components.params import Params, layout
from flows.edit.text import configure
from flows.execution import cli, start_meter
from flows.execution.experiment import refuse_until
from flows.execution.form import PipelineForm, params_hash
from flows.execution.pipeline_run import stop_runs
from flows.execution.stages import STAGES, refresh
from flows.planning import preflight, preview, step_cost
from flows.planning.stage_forecast import expected, settings_of
from flows.system import dvc, params_file, paths

if TYPE_CHECKING:
    from prefect.states import State


def run(
    *settings: str,
    data: str = "",
    until: str = "",
    only: str = "",
    preset: str = "",
    dry_run: bool = False,
    yes: bool = False,
) -> int:
    """Run what is stale of the pipeline: DVC's graph as a Prefect flow, one task per stage. It ends with a table.

    greenhouse run                                  what is stale; nothing to do the second time
    greenhouse run finetune.instruct.steps=60       other values: an experiment beside the workspace, as the form makes
    greenhouse run --preset cpu-40min               the values of a preset, as an experiment
    greenhouse run --data ~/my-texts                your own text, which params.yaml keeps
    greenhouse run --until pretrain@causal          the stages up to this one
    greenhouse run --only mix                       this stage alone, by DVC
    greenhouse run --dry-run                        what would run, why, and what its first stages would do
    greenhouse run --only filter --dry-run filter.rules=gopher      what a stage would do with other values

    DVC decides what is stale; Prefect orders, shows and cancels. Killed, it goes on where it was. Keys are those of
    params.yaml and defaults.yaml (docs/guide.md).

    Args:
        settings: KEY=VALUE: values of this run alone.
        data: folder, file, or owner/name@commit of the hub, as the only source of text.
        until: STAGE, such as pretrain@causal, to stop after; not beside KEY=VALUE, as an experiment runs to its end.
        only: STAGE that runs alone, where it is stale.
        preset: name of a preset, whose values this run takes.
        dry_run: say what would run, and change nothing.
        yes: go on where the filter would take much of a source.
    """
    if until and only:
        raise UserError("--until and --only name two ends: leave one of them out")
    preflight.raise_if_limited()
    values = [*preset_settings(preset, settings), *settings] if preset else list(settings)
    if dry_run:
        if data:
            raise UserError("--data is written into params.yaml, and --dry-run changes nothing: leave one of them out")
        print("\n\n".join(would_run(only, until, values)))
        return 0
    if data:
        print(configure(data))
    if only:
        if values:
            raise UserError("--only runs a stage of the workspace, and other values make an experiment: leave one out")
        run_stage(only)
    return run_pipeline(until, values, yes)


def run_pipeline(until: str, values: Sequence[str], yes: bool = False) -> int:
    """The pipeline flow; the exit status. A run of the workspace ends with the table, or with how to go on."""
    started = time.perf_counter()
    print("pipeline: reading params.yaml, dvc.lock and the ledger", flush=True)  # what is imported next takes seconds
    state = run_from_terminal(until, values, yes)
    if state.is_completed() and not values:
        show_summary(until)
    message = f": {state.message}" if state.message else ""
    print(f"\npipeline: {state.name} after {time.perf_counter() - started:.0f} s{message}", flush=True)
    return cli.exit_status(state)


def show_summary(until: str = "") -> None:
    """Write summary, report and cards anew from what is there now; print the table, or after a part how to go on."""
    table = refresh(schema.load(paths.PARAMS)).markdown.replace("```", "").strip()
    table = table.replace('"models/', f'"{paths.ROOT}/models/')  # which loads from any folder
    card = f"`greenhouse card {until}`: its scores and how to load it; " if "@" in until else ""
    print("\n" + (f"next        {card}`greenhouse run` goes on, and scores what was made anew" if until else table))


def preset_settings(preset: str, settings: Sequence[str]) -> Iterator[str]:
    """A preset as KEY=VALUE, but for keys that the settings give."""
    given = {entry.partition("=")[0].strip() for entry in settings}
    for key, value in layout.leaves(params_file.read_preset(preset)).items():
        if key not in given:
            yield f"{key}={json.dumps(value)}"


def form_of(values: Sequence[str]) -> "PipelineForm":
    """The form of the pipeline with these KEY=VALUE. Raises `UserError`: one is no KEY=VALUE."""
    from pydantic import ValidationError

    try:
        return PipelineForm(settings=list(values))
    except ValidationError:
        raise UserError(f"{' '.join(values)}: write each as KEY=VALUE, with a key of params.yaml") from None


def run_from_terminal(until: str, settings: Sequence[str] = (), yes: bool = False) -> "State":
    """The pipeline flow in this process, after all checks that can be made before it."""
    configured = schema.load(paths.PARAMS)
    if until in (f"finetune@{branch}" for branch in schema.FURTHER):
        configured.finetune.raise_if_off(until.partition("@")[2])
    if until:
        dvc.require_stage(until, f"--until {until}")
    form = form_of(settings) if settings else None
    chosen = form.applied(schema.read(paths.PARAMS)) if form else configured
    if until and form:
        refuse_until(until, chosen, configured)
    if form:  # of what is stale beside them the run itself asks, once DVC has said what that is
        changed = [stage for stage in dvc.graph() if settings_of(stage, chosen) != settings_of(stage, configured)]
        changed += ["account"] if chosen.runtime != configured.runtime else []  # it needs the grid
        preflight.raise_if_unfit(chosen, paths.ROOT, changed)
    if any(isinstance(source, schema.Files) for source in chosen.ingest.sources):
        preview.confirm(chosen, configured, yes)
    if chosen.runtime.start_within_hours:
        wait_for_start(chosen)
    # What failed is said once, in the stage's own lines and in the last one; Prefect would say it of every task after.
    logging.getLogger("prefect.task_runs").propagate = False
    with start_meter.metered(configured), cli.with_prefect(stop_runs, _import_ahead):
        from flows.pipeline import pipeline

        return pipeline(form, params_hash(configured), until, return_state=True)


def _import_ahead() -> None:
    """While the Prefect server starts, what the run needs anyway."""
    import flows.pipeline  # noqa: F401


def run_stage(name: str) -> None:
    """Become the `dvc repro` of a stage alone.

    Raises `UserError`: no such stage, it is off, or what it reads is not there.
    """
    configured = schema.load(paths.PARAMS)
    stage, _, branch = name.partition("@")
    if stage == "finetune" and branch:
        configured.finetune.raise_if_off(branch)
    dvc.require_stage(name, f"--only {name}")
    dvc.raise_if_not_ready(name)
    command = dvc.command("--wait-for-lock", "repro", "--single-item", name)
    os.execvpe(command[0], command, os.environ)


# -- before anything runs ----------------------------------------------------------------------------------------------


def would_run(only: str, until: str, values: Sequence[str]) -> Iterator[str]:
    """Stale stages and the reasons, and the dry run of those that have one and whose inputs are there.

    Raises:
        UserError: no such stage, a stage without a dry run, or other values without a stage that they are tried on.
    """
    from flows.planning.staleness import explain

    if only:
        yield dry_run_of(only, values)
        return
    if values:
        form_of(values).applied(schema.read(paths.PARAMS))  # what is wrong with them comes first
        raise UserError("--dry-run with other values needs --only STAGE, which says what it would do with them")
    yield "\n".join(explain())
    graph, stale = dvc.graph(), dvc.stale()
    if until:
        dvc.require_stage(until, f"--until {until}")
    wanted = dvc.upstream(graph, until) if until else list(graph)
    after = set(dvc.downstream(graph, set(stale)))
    for name in wanted:
        if name in stale and not set(graph[name]) & after and has_dry_run(name):
            yield f"{name} would do:\n\n{dry_run_of(name, ())}"


def has_dry_run(name: str) -> bool:
    """Whether a stage can say what it would do; one of the user's own cannot."""
    return name in STAGES and STAGES[name].dry_run is not None


def dry_run_of(name: str, values: Sequence[str]) -> str:
    """Dry run of a stage with params.yaml and these KEY=VALUE, with counts and examples.

    Raises `UserError`: it has no dry run, or a value is wrong.
    """
    if not has_dry_run(name):
        can = " and ".join(one for one in STAGES if has_dry_run(one))
        raise UserError(f"{name} has no dry run, {can} have one; `greenhouse plan --why` says whether it would run")
    params = form_of(values).applied(schema.read(paths.PARAMS))
    show = STAGES[name].dry_run
    assert show
    return plain(show(params))


UNKNOWN_S = 3600.0
"""Seconds taken for work of which nothing is known."""


def wait_for_start(
    params: Params,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Sleep until the start, within `runtime.start_within_hours`, from which the run meets the cleanest grid.

    A run of a form is not delayed: Prefect schedules it for the time that `greenhouse plan` names.
    """
    outlook, now = Outlook(resolve(params.runtime.grid, paths.ROOT)), clock()
    start = cleanest_start(outlook, now, _expected_s(params), params.runtime.start_within_hours)
    if start > now:
        print(
            f"pipeline: waits until {start:%Y-%m-%d %H:%M} UTC, the cleanest start within "
            f"{params.runtime.start_within_hours:g} hours (runtime.start_within_hours)",
            flush=True,
        )
    while (remaining_s := (start - clock()).total_seconds()) > 0:
        sleep(min(remaining_s, 30.0))


def _expected_s(params: Params) -> float:
    """Seconds that the stale stages will take, as far as anything is known of them."""
    ledger, rates = reader.history(paths.LEDGER), step_cost.known(params)
    stages = dvc.downstream(dvc.graph(), set(dvc.stale()))
    forecasts = [expected(ledger, stage, "", params, rates) for stage in stages]
    return sum(one.seconds.mid for one in forecasts if one) or UNKNOWN_S
