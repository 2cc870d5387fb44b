"""`greenhouse card`: the five answers of a model on one page."""

import json

from components.core.errors import UserError
from components.stages.account.answer_text import withdrawn_text
from components.stages.account.answers import ModelAnswers
from components.stages.account.terminal_table import model_page
from flows.system import paths
from flows.tracking.model_origin import choose, collect
from flows.tracking.snapshots import has_other_bytes


def card(model: str = "", /, *, at: str = "workspace", json_: bool = False, schema: bool = False) -> None:
    """The five answers of a model on one page: its data, cost, quality, how to rebuild it, how to load it.

    greenhouse card instruct                          a model of the workspace
    greenhouse card instruct --at my-experiment       as a git revision, DVC experiment or pipeline run recorded it
    greenhouse card greenhouse-instruct-2@champion    a registered model
    greenhouse card instruct --json                   as data; `--schema` prints its JSON schema

    What nobody recorded is answered with the reason. `greenhouse export` copies a model with its card.

    Args:
        model: causal, masked, instruct, prefer, classify, or a registered name@alias.
        at: workspace (default), a git revision, an experiment, a run.
        json_: the answers as JSON.
        schema: the JSON schema of --json.
    """
    if schema:
        print(json.dumps(ModelAnswers.model_json_schema(), indent=2))
        return
    if not model:
        raise UserError("name a model: causal, masked, instruct, prefer, classify, or a registered name@alias")
    one, stage = choose(model, at)
    # At a terminal its lines work from any folder; as data they hold in any checkout.
    address = str(paths.ROOT / "models" / stage.replace("@", "/")) if one.kind == "workspace" and not json_ else ""
    answers = collect(one, stage, f"models:/{model}" if model == one.name and not one.adopted else address)
    if json_:
        print(answers.model_dump_json(indent=2))
        return
    lines, name = [*withdrawn_text(answers)], stage.replace("@", "/")
    if one.kind in ("workspace", "adopted") and has_other_bytes(one, name):
        lines.append(f"models/{name}: not the bytes that DVC recorded and this page tells of; `dvc checkout` has them")
    lines += answers.limits[-1:] if one.adopted else []
    print(*lines, model_page(answers), sep="\n", end="")
