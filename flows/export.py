"""`greenhouse export`: a model in the form that other tools open."""

import shutil
import tempfile
from pathlib import Path
from typing import Any, Literal

from components.core.errors import UserError
from components.core.files import move, write_text
from components.params import FURTHER
from components.stages.account.model_card import write_card
from components.studies.attestation.renderings import differences, write_renderings
from components.studies.withdrawn import withdrawn
from flows.system import dvc, paths
from flows.system.work_folder import sole_writer
from flows.tracking.attestation import claims_of, owner_fields, with_its_files
from flows.tracking.model_origin import choose, collect, model_files
from flows.tracking.signature import signing

WRITERS_OF_TEXT = ("pretrain@causal", "finetune@instruct", *(f"finetune@{name}" for name in FURTHER))
"""Stages whose models llama.cpp runs."""


def copy_model(one: Any, model: str, folder: Path) -> None:
    """Copy the files of a model, as a state has them, to `folder`."""
    for name, source in model_files(one, model).items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def raise_if_withdrawn(one: Any, model: str) -> None:
    """Refuse to give a withdrawn model away.

    Raises:
        UserError: the model is on the list of this checkout.
    """
    if why := withdrawn(paths.ROOT, one.outputs().get(f"models/{model}")):
        raise UserError(f"{model} of {one.name}: {why}; make another model, or take it off the list")


# -- llama.cpp ---------------------------------------------------------------------------------------------------------


def smaller(path: Path) -> dict[Any, Path]:
    """The smaller forms of a GGUF file, by the names that they get beside it."""
    return {form: path.with_name(f"{path.stem}-{form.lower()}{path.suffix}") for form in ("F16", "Q8_0")}


def write_file(one: Any, model: str, answers: Any, path: Path) -> list[Path]:
    """Write the GGUF file of a model, its smaller forms, and how Ollama runs it."""
    from components.gguf import modelfile, write_gguf

    path.parent.mkdir(parents=True, exist_ok=True)
    written = {"F32": path} | smaller(path)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        copy_model(one, model, Path(folder))
        for form, target in written.items():
            write_gguf(Path(folder), target, metadata(answers), form)
        write_text(path.with_suffix(".Modelfile"), modelfile(Path(folder), path.name))
    return [*written.values(), path.with_suffix(".Modelfile")]


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


def write_folder(one: Any, model: str, answers: Any, folder: Path) -> None:
    """Copy a model to a new folder, with README.md, ATTRIBUTION.md and card.json."""
    copy_model(one, model, folder)
    write_card(answers, folder)
    check_card(folder)


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
    assert data.license
    assert data.pipeline_tag


def send(folder: Path, repository: str) -> str:
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


# -- signed ----------------------------------------------------------------------------------------------------------


def write_signed(model: str, revision: str, key: Path, owner: Path | None, folder: Path) -> None:
    """Write the signed folder of a model. It is built in a work folder: nothing is beside `folder`, whenever it ends.

    Raises:
        UserError: no such model, a folder that exists, a key that cannot sign, a part of the extra that is missing.
    """
    sign = signing(key)
    raise_if_not_writable(folder)
    one, stage = choose(model, revision)
    if one.kind == "workspace":
        dvc.raise_if_damaged([name for name in one.lock if name in dvc.graph()])
    one, name, stated = with_its_files(one), stage.replace("@", "/"), owner_fields(owner)
    raise_if_withdrawn(one, name)
    if f"models/{name}" not in one.outputs():
        raise UserError(f"{one.name}: no models/{name} there; run the pipeline or `dvc checkout` first")
    claims = claims_of(one, stage, stated)
    if not one.adopted and not any(file.endswith(".safetensors") for file in claims.files):
        raise UserError(f"{one.name}: the weights of models/{name} are neither here nor in DVC's cache; `dvc pull` "
                        "gets them from a remote, the pipeline makes them again")  # fmt: skip
    work = paths.WORK / "signed" / claims.md5
    with sole_writer(work):
        shutil.rmtree(work / "made", ignore_errors=True)  # of an export that was killed
        whole = work / "made" / folder.name
        try:
            copy_model(one, name, whole)
            write_renderings(claims, whole)
            check_card(whole)
            if wrong := differences(whole, claims):
                raise UserError(f"{one.name}: changed while it was copied ({wrong[0]}); export it again")
            sign(whole)
            move(whole, folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)


def raise_if_not_writable(target: Path) -> None:
    """Refuse a target that exists or cannot be made, before anything is worked out.

    Raises:
        UserError: as said.
    """
    if target.exists():
        raise UserError(f"{target}: exists already; name another with --out, or remove it")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=target.parent).close()
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({error.strerror}); name another place with --out") from None


# -- the command -------------------------------------------------------------------------------------------------------


def write(model: str, revision: str, form: str, out: str, repository: str) -> None:
    """Write a model for llama.cpp or the hub, and push it if a repository is given.

    Raises:
        UserError: no such model, llama.cpp cannot run it, the target exists, or nothing can be written there.
    """
    if repository:
        check_push(repository)
    one, stage = choose(model, revision)
    name, branch = stage.replace("@", "/"), stage.partition("@")[2]
    raise_if_withdrawn(one, name)
    target = Path(out) if out else paths.ROOT / "exports" / (f"{branch}.gguf" if form == "gguf" else branch)
    if form == "gguf":
        from components.gguf import library

        if stage not in WRITERS_OF_TEXT:
            raise UserError(f"{model}: llama.cpp writes text, and this model reads it; export causal or instruct, or "
                            "this one with --to hub")  # fmt: skip
        library()
    # A path of this machine says nothing to others: the card names the folder, or where it is sent.
    answers = collect(one, stage, repository or f"./{target.name}")
    licence = answers.licence if isinstance(answers.licence, str) else ""
    if repository and not licence:
        raise UserError(
            "account.licence is empty: write into params.yaml under which licence you publish, run the account stage"
        )
    for path in [target, *(smaller(target).values() if form == "gguf" else [])]:
        raise_if_not_writable(path)
    if form == "gguf":
        files = write_file(one, name, answers, target)
    else:
        write_folder(one, name, answers, target)
        files = sorted(path for path in target.rglob("*") if path.is_file())
    for path in files:
        print(f"{path.stat().st_size / 1e6:9.2f} MB  {path}")
    if not licence:
        print("No licence is stated (account.licence in params.yaml): nobody else may use it.")
    if repository:
        print(f"sent: {send(target, repository)}")
    elif form == "hub":
        print("Nothing was sent; --push owner/name sends it to the hub.")


def export(
    model: str = "",
    /,
    *,
    to: Literal["hub", "gguf", "signed"] | None = None,
    at: str = "workspace",
    out: str = "",
    push: str = "",
    key: Path | None = None,
    owner: Path | None = None,
) -> None:
    """A model in the form that others open: a GGUF file for llama.cpp, a folder for the Hugging Face hub, or signed.

    greenhouse export instruct --to gguf                    exports/instruct.gguf: llama.cpp, LM Studio; Ollama
    greenhouse export instruct --to hub                     exports/instruct: the model with its card
    greenhouse export instruct --to hub --push owner/name   the same, sent to a private repository of the hub
    greenhouse export greenhouse-instruct-2@champion --to gguf --out model.gguf
    greenhouse export instruct --to signed --key KEY --out FOLDER     the model with what is recorded of it, signed

    MODEL is what `greenhouse card` takes, with the same `--at`. Nothing leaves this machine without `--push`. GGUF
    holds causal models only, in float32; instruct-f16.gguf and instruct-q8_0.gguf lie beside it, and for Ollama, which
    ignores a GGUF's chat template, instruct.Modelfile (`ollama create NAME -f`). Chat template, control tokens, licence
    and the whole card are in the metadata.

    A signed folder loads in `transformers`; model.sig is its OMS signature (OpenSSF Model Signing), over all its files.
    card.json holds all that is claimed: the five answers and what they were taken from; README.md, ATTRIBUTION.md and
    training-content.md are made of it. No field is typed in by hand, but for what only the owner knows (--owner):
    docs/answering.md. `greenhouse verify FOLDER` checks it. A key pair:
    openssl ecparam -name prime256v1 -genkey -noout -out KEY; openssl ec -in KEY -pubout -out KEY.pub

    Args:
        model: causal, masked, instruct, prefer, classify, or name@alias.
        to: the form.
        at: workspace (default), a git revision, an experiment, a run.
        out: file or folder to write; default: in exports/.
        push: OWNER/NAME: send the folder to the Hugging Face hub.
        key: your private key, for a signed folder.
        owner: YAML with what only the owner knows, for a signed folder.
    """
    if not model or to is None:
        raise UserError("name a model and --to gguf, hub or signed")
    if push and to != "hub":
        raise UserError("--push goes with --to hub")
    if (key or owner) and to != "signed":
        raise UserError("--key and --owner go with --to signed")
    if to != "signed":
        write(model, at, to, out, push)
        return
    if not (key and out):
        raise UserError("--to signed needs --key KEY, your private key, and --out FOLDER, a new folder")
    write_signed(model, at, key, owner, Path(out))
    print(f"{out}: {model} with card.json, what is made of it, and model.sig")
