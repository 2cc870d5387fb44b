"""The five answers of a model on one page: its data, cost, quality, how to rebuild it, how to load it.

    python -m flows.card instruct                          a model of the workspace (causal, masked, instruct, classify)
    python -m flows.card instruct --at my-experiment       as a git revision, DVC experiment or pipeline run recorded it
    python -m flows.card greenhouse-instruct-2@champion    a registered model
    python -m flows.card instruct --json                   as data; `--schema` prints its JSON schema
    python -m flows.card instruct --export FOLDER          a copy of the model with its card (README.md), ATTRIBUTION.md
                                                           and card.json, as the Hugging Face hub takes it

What nobody recorded is answered with the reason.
"""

import json
from pathlib import Path
from typing import Any

from components.core.errors import UserError
from flows.system.command import parser_of, run_command


def export(answers: Any, model: str, file: Any, names: list[str], folder: Path) -> None:
    """Copy the files of a model to a new folder, with the files of its card beside them.

    Raises:
        UserError: the folder exists already.
    """
    import shutil

    from components.stages.account.model_card import write_card

    if folder.exists():
        raise UserError(f"{folder}: exists already; name a new folder")
    folder.mkdir(parents=True)
    for name in names:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file(f"models/{model}/{name}"), target)
    write_card(answers, folder)


def names_of(one: Any, model: str) -> list[str]:
    """Relative paths of the files in a model's folder."""
    from flows.system import paths
    from flows.tracking.snapshots import ObjectCache

    if one.kind == "workspace":
        folder = paths.ROOT / "models" / model
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return sorted(ObjectCache().files(one.outputs()[f"models/{model}"]))


def main() -> None:
    """Print or export the answers."""
    parser = parser_of("card", __doc__)
    parser.add_argument("model", nargs="?", default="", help="causal, masked, instruct, classify, or name@alias")
    parser.add_argument("--at", default="workspace", help="workspace (default), a git revision, an experiment, a run")
    parser.add_argument("--json", action="store_true", help="the answers as JSON")
    parser.add_argument("--schema", action="store_true", help="the JSON schema of --json")
    parser.add_argument("--export", default="", metavar="FOLDER", help="copy the model with its card to a new folder")
    arguments = parser.parse_args()
    if arguments.schema:
        from components.stages.account.answers import ModelAnswers

        print(json.dumps(ModelAnswers.model_json_schema(), indent=2))
        return
    if not arguments.model:
        parser.error("name a model: causal, masked, instruct, classify, or a registered name@alias")
    show(arguments)


def show(arguments: Any) -> None:
    """Collect the answers and render them as asked."""
    from components.stages.account.answer_text import page
    from flows.tracking.model_origin import choose, collect, files_of

    one, stage = choose(arguments.model, arguments.at)
    model = stage.replace("@", "/")
    where = arguments.export or (f"models:/{arguments.model}" if arguments.model == one.name else "")
    answers = collect(one, stage, where)
    if arguments.export:
        export(answers, model, files_of(one), names_of(one, model), Path(arguments.export))
        print(f"{arguments.export}: {answers.title} with README.md, ATTRIBUTION.md and card.json")
    else:
        print(
            answers.model_dump_json(indent=2) if arguments.json else page(answers),
            end="" if not arguments.json else "\n",
        )


if __name__ == "__main__":
    run_command("card", main)
