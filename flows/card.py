"""`greenhouse card`: the five answers of a model on one page."""

import json

from components.core.errors import UserError
from components.stages.account.answer_text import withdrawn_text
from components.stages.account.answers import ModelAnswers
from components.stages.account.terminal_table import model_page
from flows.tracking.model_origin import choose, collect
from flows.tracking.snapshots import other_bytes


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
    answers = collect(one, stage, f"models:/{model}" if model == one.name and not one.adopted else "")
    if json_:
        print(answers.model_dump_json(indent=2))
        return
    name = stage.replace("@", "/")
    other = other_bytes(one, name) if one.kind in ("workspace", "adopted") else []
    unlike = [f"models/{name}/{other[0]}: not the bytes that DVC recorded, of which this page tells"] if other else []
    print(*unlike, *withdrawn_text(answers), model_page(answers), sep="\n", end="")
