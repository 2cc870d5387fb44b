"""The five answers of a model on one page: its data, cost, quality, how to rebuild it, how to load it.

    python -m flows.card instruct                          a model of the workspace
    python -m flows.card instruct --at my-experiment       as a git revision, DVC experiment or pipeline run recorded it
    python -m flows.card greenhouse-instruct-2@champion    a registered model
    python -m flows.card instruct --json                   as data; `--schema` prints its JSON schema

What nobody recorded is answered with the reason. `python -m flows.export` copies a model with its card.
"""

import json
from typing import Any

from flows.system.command import parser_of, run_command


def main() -> None:
    """Print the answers."""
    parser = parser_of("card", __doc__)
    parser.add_argument(
        "model", nargs="?", default="", help="causal, masked, instruct, prefer, classify, or name@alias"
    )
    parser.add_argument("--at", default="workspace", help="workspace (default), a git revision, an experiment, a run")
    parser.add_argument("--json", action="store_true", help="the answers as JSON")
    parser.add_argument("--schema", action="store_true", help="the JSON schema of --json")
    arguments = parser.parse_args()
    if arguments.schema:
        from components.stages.account.answers import ModelAnswers

        print(json.dumps(ModelAnswers.model_json_schema(), indent=2))
        return
    if not arguments.model:
        parser.error("name a model: causal, masked, instruct, prefer, classify, or a registered name@alias")
    show(arguments)


def show(arguments: Any) -> None:
    """Collect the answers and render them as asked."""
    from components.stages.account.answer_text import page
    from flows.tracking.model_origin import choose, collect

    one, stage = choose(arguments.model, arguments.at)
    answers = collect(one, stage, f"models:/{arguments.model}" if arguments.model == one.name else "")
    print(answers.model_dump_json(indent=2) + "\n" if arguments.json else page(answers), end="")


if __name__ == "__main__":
    run_command("card", main)
