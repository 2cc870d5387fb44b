"""Prefect flows made from declarations: the form of a stage and the form of a study.

The flow of a stage's form is the pipeline up to that stage: DVC is asked whether there is anything to do. A deployment
finds the flow of the stage `mix` as `forms.mix`: it is made from its row of `STAGES`, or the `STUDY` of its module,
when asked for.
"""

import importlib
from collections.abc import Callable
from functools import cache
from typing import Any, Literal

from prefect import Flow
from prefect.artifacts import create_markdown_artifact
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed, State

from components import params as schema
from components.core.errors import Stopped, UserError
from components.core.plain_text import without_quotations
from components.params import Params, Section
from flows.execution.form import refuse_stale_form
from flows.execution.stage import Stage, Study
from flows.execution.stages import STAGES
from flows.pipeline import run_pipeline
from flows.system import dvc, paths
from flows.tracking import recovery

FORM_FIELDS = """

Args:
    params: {what}.
    params_hash: leave it as it is: it shows which params.yaml the form was filled from.
"""
OF_STAGE = FORM_FIELDS.format(what="the section of params.yaml; changed values make an experiment")
OF_STUDY = FORM_FIELDS.format(what="settings of the study; changed values hold for this run of the study alone")
BRANCH_FIELD = "    branch: which of the stage's branches; `all` for each.\n"


def stage_form(stage: Stage) -> Flow[Any, State]:
    """Flow behind a stage's form: the pipeline up to that stage, with its section of parameters."""
    section: Any = stage.section
    branches: Any = Literal[(*stage.branches, "all")]

    def whole(params: section | None = None, params_hash: str = "") -> State:
        return run_one(stage, "", params, params_hash)

    def branched(branch: branches = "all", params: section | None = None, params_hash: str = "") -> State:
        return run_one(stage, branch, params, params_hash)

    described = stage.description + OF_STAGE + (BRANCH_FIELD if stage.branches else "")
    return _flow(stage.name, branched if stage.branches else whole, described)


def run_one(stage: Stage, branch: str, section: Any, form_hash: str) -> State:
    """The pipeline up to a stage, with its section of the parameters."""
    try:
        configured = schema.load(paths.PARAMS)
        chosen = configured if section is None else configured.model_copy(update={stage.name: section})
        if stage.name == "finetune" and branch not in ("", "all"):
            chosen.finetune.raise_if_off(branch)
    except UserError as error:
        return Failed(message=str(error))
    branches = [branch]
    if branch in ("", "all") and stage.branches:
        stages = dvc.graph()  # params.yaml may leave some out
        branches = [name for name in stage.branches if stage.full_name(name) in stages]
    return run_pipeline(chosen, form_hash, [stage.full_name(name) for name in branches])


def study_form(study: Study) -> Flow[Any, State]:
    """The flow of a study, started from its form or a terminal."""
    section: Any = study.section

    def run(params: section | None = None, params_hash: str = "") -> State:
        recovery.label_flow_run(str(flow_run.id))
        try:
            configured = schema.load(paths.PARAMS)
            refuse_stale_form(params_hash, configured)
            folder = study.run(str(flow_run.name), configured, params or study.section())
        except UserError as error:
            return Failed(message=f"{study.name}: {error}")
        except Stopped as stop:
            return Cancelled(name=stop.name, message=f"{study.name}: {stop}")
        report = folder / "report.md"
        key = folder.name.replace("_", "-")  # Prefect takes no other
        page = without_quotations(report.read_text(encoding="utf-8"))
        create_markdown_artifact(page, key=key, description=study.title)
        return Completed(message=f"{study.name}: done; see {report.relative_to(paths.ROOT)}")

    return _flow(study.name, run, (study.run.__doc__ or "") + OF_STUDY)


def _flow(name: str, function: Callable[..., State], described: str) -> Flow[Any, State]:
    function.__doc__ = described
    function.__name__ = function.__qualname__ = name
    return Flow(function, name=name, description=described.split("\n")[0], log_prints=False)


# -- by name -----------------------------------------------------------------------------------------------------------

STUDIES = ("scaling", "seeds", "data_choices", "promote")


def form_names() -> list[str]:
    """Names of the stages of dvc.yaml (without branch) that have a form, and of the studies."""
    return [name for name in [*dict.fromkeys(full.split("@")[0] for full in dvc.graph()), *STUDIES] if form_of(name)]


def settings_of(name: str, params: Params) -> Section:
    """Values of a form: a stage's section of the parameters, or a study's default settings."""
    if name in STUDIES:
        return importlib.import_module(f"flows.{name}").STUDY.section()
    return getattr(params, name)


@cache
def form_of(name: str) -> Flow[Any, State] | None:
    """The flow of a stage or a study; None for a stage of the user's own: it runs in the pipeline, and has no form."""
    if name in STAGES:
        return stage_form(STAGES[name])
    return study_form(importlib.import_module(f"flows.{name}").STUDY) if name in STUDIES else None


def __getattr__(name: str) -> Flow[Any, State]:
    if name.startswith("_") or (form := form_of(name)) is None:
        raise AttributeError(f"{__name__} has no {name}")
    return form
