"""A model in the form that other tools open: one GGUF file for llama.cpp, or a folder as the Hugging Face hub takes it.

    python -m flows.export instruct --format gguf                    exports/instruct.gguf: llama.cpp, Ollama, LM Studio
    python -m flows.export instruct --format hub                     exports/instruct: the model with its card
    python -m flows.export instruct --format hub --push owner/name   the same, sent to a private repository of the hub
    python -m flows.export greenhouse-instruct-2@champion --format gguf --out model.gguf

MODEL is what `flows.card` takes, with the same `--at`. Nothing leaves this machine without `--push`. GGUF holds causal
models only, in float32; chat template, control tokens, licence and the whole card are in its metadata.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from components.core.errors import UserError
from components.params import FURTHER
from flows.system import paths
from flows.system.command import parser_of, run_command

WRITERS_OF_TEXT = ("pretrain@causal", "finetune@instruct", *(f"finetune@{name}" for name in FURTHER))
"""Stages whose models llama.cpp runs."""


def names_of(one: Any, model: str) -> list[str]:
    """Relative paths of the files in a model's folder."""
    from flows.tracking.snapshots import ObjectCache

    if one.kind == "workspace":
        folder = paths.ROOT / "models" / model
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return sorted(ObjectCache().files(one.outputs()[f"models/{model}"]))


def copy_model(one: Any, model: str, folder: Path) -> None:
    """Copy the files of a model, as a state has them, to `folder`."""
    from flows.tracking.model_origin import files_of

    file = files_of(one)
    for name in names_of(one, model):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        source = file(f"models/{model}/{name}")
        assert source is not None, name
        shutil.copyfile(source, target)


# -- llama.cpp ---------------------------------------------------------------------------------------------------------


def write_file(one: Any, model: str, answers: Any, path: Path) -> None:
    """Write the GGUF file of a model."""
    from components.gguf import write_gguf

    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        copy_model(one, model, Path(folder))
        write_gguf(Path(folder), path, metadata(answers))


def metadata(answers: Any) -> dict[str, str]:
    """Name, licence and lineage of a model under GGUF's keys; `greenhouse.card` is the whole card.json."""
    known = {name: value for name, value in answers.rebuild.model_dump().items() if isinstance(value, str)}
    return {
        "general.name": answers.title,
        "general.description": answers.description,
        "general.license": answers.licence.lower() if isinstance(answers.licence, str) else "",
        **{f"greenhouse.{name}": known.get(name, "") for name in ("commit", "dvc_lock", "model", "command")},
        "greenhouse.card": answers.model_dump_json(),
    }


# -- the hub -----------------------------------------------------------------------------------------------------------


def write_folder(one: Any, model: str, answers: Any, folder: Path, exact: bool = True) -> None:
    """Copy a model to a new folder, with README.md, ATTRIBUTION.md and card.json beside it.

    Args:
        exact: its files byte for byte, to be compared by their hashes; else without a row of one's own.

    Raises:
        UserError: an exact copy would hold a row of one's own, as models of earlier versions do.
    """
    from components.stages.account.model_card import write_card

    copy_model(one, model, folder)
    leave_own_row_out(folder / "greenhouse.json", model if exact else "")
    write_card(answers, folder)
    check_card(folder)


def leave_own_row_out(path: Path, exact: str) -> None:
    """Take an example from rows of one's own out of a copy's facts; of the model `exact`, if named, refuse it."""
    from components.core.files import read_json, write_json
    from components.stages.account.summary import without_own_row

    facts = read_json(path)
    if (kept := without_own_row(facts)) == facts:
        return
    if exact:
        raise UserError(
            f"models/{exact}/greenhouse.json: has a row of your own data, as an earlier version put in, which would be "
            f"published; `python -m flows.pipeline --until {exact.replace('/', '@')}` makes the model without it"
        )
    write_json(path, kept)


def check_card(folder: Path) -> None:
    """Have huggingface_hub parse the card; the hub itself checks it before a push.

    Raises:
        UserError: it does not.
    """
    from huggingface_hub import ModelCard

    try:
        data = ModelCard.load(folder / "README.md").data
    except ValueError as error:
        raise UserError(f"{folder / 'README.md'}: the hub would refuse this card: {error}") from None
    assert data.library_name == "transformers"
    assert data.license
    assert data.pipeline_tag


def push(folder: Path, repository: str) -> str:
    """Upload a folder to a private repository of the hub, made if there is none; its address.

    Raises:
        UserError: not logged in, not allowed, or not reachable.
    """
    import httpx
    from huggingface_hub import HfApi, ModelCard
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    try:
        ModelCard.load(folder / "README.md").validate()  # by the hub, before anything is made there
        HfApi().create_repo(repository, private=True, exist_ok=True)
        commit = HfApi().upload_folder(repo_id=repository, folder_path=folder, commit_message="Export of Greenhouse")
    except ValueError as error:
        raise UserError(f"{folder / 'README.md'}: the hub refuses this card: {' '.join(str(error).split())}") from None
    except (HfHubHTTPError, LocalTokenNotFoundError, httpx.HTTPError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{repository}: the hub did not take it ({reason}); `hf auth login` first?") from None
    return str(commit.commit_url)


def check_push(repository: str) -> None:
    """Refuse a name that is no repository's.

    Raises:
        UserError: as said.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise UserError(f"--push {repository}: {error}") from None
    if repository.count("/") != 1:
        raise UserError(f"--push {repository}: write owner/name")


# -- the command -------------------------------------------------------------------------------------------------------


def export(model: str, at: str, form: str, out: str, repository: str) -> None:
    """Write a model in a format, and push it if a repository is given.

    Raises:
        UserError: no such model, llama.cpp cannot run it, the target exists, or nothing can be written there.
    """
    from flows.tracking.model_origin import choose, collect

    if repository:
        check_push(repository)
    one, stage = choose(model, at)
    name, branch = stage.replace("@", "/"), stage.partition("@")[2]
    target = Path(out) if out else paths.ROOT / "exports" / (f"{branch}.gguf" if form == "gguf" else branch)
    if form == "gguf":
        from components.gguf import library

        if stage not in WRITERS_OF_TEXT:
            raise UserError(f"{model}: llama.cpp writes text, and this model reads it; export causal or instruct, or "
                            "this one with --format hub")  # fmt: skip
        library()
    if target.exists():
        raise UserError(f"{target}: exists already; name another with --out, or remove it")
    # A path of this machine says nothing to others: the card names the folder, or where it is sent.
    answers = collect(one, stage, repository or f"./{target.name}")
    licence = answers.licence if isinstance(answers.licence, str) else ""
    if repository and not licence:
        raise UserError(
            "account.licence is empty: write into params.yaml under which licence you publish, run the account stage"
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=target.parent).close()
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({error.strerror}); name another place with --out") from None
    if form == "gguf":
        write_file(one, name, answers, target)
    else:
        write_folder(one, name, answers, target, exact=False)
    files = [target] if target.is_file() else sorted(path for path in target.rglob("*") if path.is_file())
    for path in files:
        print(f"{path.stat().st_size / 1e6:9.2f} MB  {path}")
    if not licence:
        print("No licence is stated (account.licence in params.yaml): nobody else may use it.")
    if repository:
        print(f"sent: {push(target, repository)}")
    elif form == "hub":
        print("Nothing was sent; --push owner/name sends it to the hub.")


def main() -> None:
    """Parse the arguments and export."""
    parser = parser_of("export", __doc__)
    parser.add_argument("model", help="causal, masked, instruct, prefer, classify, or name@alias")
    parser.add_argument("--format", required=True, choices=("gguf", "hub"))
    parser.add_argument("--at", default="workspace", help="workspace (default), a git revision, an experiment, a run")
    parser.add_argument("--out", default="", help="file or folder to write; default: in exports/")
    parser.add_argument("--push", default="", metavar="OWNER/NAME", help="send the folder to the Hugging Face hub")
    arguments = parser.parse_args()
    if arguments.push and arguments.format != "hub":
        parser.error("--push goes with --format hub")
    export(arguments.model, arguments.at, arguments.format, arguments.out, arguments.push)


if __name__ == "__main__":
    run_command("export", main)
