"""Models in MLflow: a loadable copy of each, registered under one name per kind and size.

`models:/<model_name>-<objective>-<size>@champion` loads with `mlflow.transformers.load_model`. A run makes its model
`challenger`; the first of a name is also `champion`; later only the gate (`flows/promote.py`) changes that.
"""

import contextlib
import io
import re
import tempfile
from pathlib import Path
from typing import Any

from components.core.files import read_json
from components.params import FURTHER, Params
from components.stages.account.answer_text import sentences
from components.stages.account.answers import ModelAnswers
from components.stages.account.model_answers import lineage
from flows.system import dvc

TASKS = {
    "causal": ("text-generation", "AutoModelForCausalLM"),
    "instruct": ("llm/v1/chat", "AutoModelForCausalLM"),
    **dict.fromkeys(FURTHER, ("llm/v1/chat", "AutoModelForCausalLM")),
    "masked": ("fill-mask", "AutoModelForMaskedLM"),
    "classify": ("text-classification", "AutoModelForSequenceClassification"),
}
"""Branch -> task of its MLflow model, and the class of `transformers` that loads it."""
QUESTION = "What does this function do?"


def registered_name(params: Params, stage: str, branch: str) -> str:
    """`greenhouse-causal-2`: one registered model per kind and size, or base, so that aliases mean something."""
    first = lineage(f"{stage}/{branch}", params.finetune.model_dump())[0]
    base = first.removeprefix("pretrain/")
    if base == first:  # made elsewhere
        return f"{params.account.model_name}-{branch}-{re.sub(r'[^A-Za-z0-9_.-]+', '-', first)}"
    size = getattr(params.pretrain, base).model.size
    return f"{params.account.model_name}-{branch}-{size}"


def log_model(
    mlflow_client: Any, run_id: str, folder: Path, stage: str, branch: str, params: Params, fingerprint: str
) -> None:
    """Copy a model folder into MLflow, register it, set its aliases, tag it with its inputs' `fingerprint`.

    The copy is safetensors and JSON, no pickle; the requirements are stated, not guessed by importing.
    """
    import logging

    import mlflow
    import transformers

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    name = registered_name(params, stage, branch)
    facts = read_json(folder / "greenhouse.json")
    mlflow.start_run(run_id=run_id)
    try:
        # MLflow prints what it registers, past its own log level.
        with contextlib.redirect_stderr(io.StringIO()):
            info = _log(folder, stage, branch, params, facts)
    finally:
        # Ending the run here would mark it FINISHED; the tracker does that when all is sent.
        mlflow.tracking.fluent._active_run_stack.get().clear()
    version = str(info.registered_model_version)
    with tempfile.TemporaryDirectory() as temporary:  # MLflow's own points at a repository of that name
        licence = Path(temporary, "LICENSE.txt")
        licence.write_text(licence_text(params.account.licence))
        mlflow_client.log_model_artifact(info.model_id, str(licence))
    mlflow_client.set_registered_model_alias(name, "challenger", version)
    if version == "1":
        mlflow_client.set_registered_model_alias(name, "champion", version)
    for key, value in _tags(stage, branch, fingerprint).items():
        mlflow_client.set_model_version_tag(name, version, key, value)


def _log(folder: Path, stage: str, branch: str, params: Params, facts: dict[str, Any]) -> Any:
    """Log and register; what MLflow says of it."""
    import mlflow
    from huggingface_hub import ModelCard

    path, licence = f"models/{stage}/{branch}", params.account.licence
    pipeline = _pipeline(folder, branch)
    # MLflow would note the folder's absolute path as the model's source, and look it up on the Hugging Face hub.
    pipeline.model.name_or_path = path
    return mlflow.transformers.log_model(
        transformers_model=pipeline,
        name=branch,
        task=TASKS[branch][0],
        input_example=_example(branch, pipeline.tokenizer),
        model_card=ModelCard(f"---\nlicense: {licence.lower() or 'unknown'}\n---\n# {path}\n"),
        pip_requirements=[f"{package}=={_version(package)}" for package in ("torch", "transformers", "tokenizers")],
        registered_model_name=registered_name(params, stage, branch),
        metadata={"dvc_path": path, "num_parameters": facts.get("num_parameters"), "licence": licence or "not stated"},
    )


def _pipeline(folder: Path, branch: str) -> Any:
    import transformers

    task, kind = TASKS[branch]
    make: Any = transformers.pipeline  # its overloads know no task in a variable
    return make(
        "text-generation" if task.startswith("llm") else task,
        model=getattr(transformers, kind).from_pretrained(folder, local_files_only=True),
        tokenizer=transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True),
    )


def _example(branch: str, tokenizer: Any) -> Any:
    """An input as the model's server takes it."""
    chat = {"messages": [{"role": "user", "content": QUESTION}], "max_tokens": 32}
    if TASKS[branch][0] == "llm/v1/chat":
        return chat
    return f"Return a new {tokenizer.mask_token}." if branch == "masked" else QUESTION


def licence_text(licence: str) -> str:
    """LICENSE.txt of a model's copy: what its owner states, and nothing else."""
    own = (
        f"SPDX-License-Identifier: {licence}\nhttps://spdx.org/licenses/{licence}.html"
        if licence
        else "The owner of this model has stated no licence for it (account.licence in params.yaml)."
    )
    return f"{own}\nLicences of the text it was trained on, as its sources state them: ATTRIBUTION.md.\n"


def describe_models(mlflow_client: Any, cards: Path, fingerprints: dict[str, str]) -> None:
    """Put the card of each model beside its registered copy, and its five answers into the version's description.

    Args:
        cards: `reports/cards`, as the account stage left it.
        fingerprints: stage -> fingerprint of its inputs, by which versions are known.
    """
    for folder in sorted(cards.iterdir()):
        answers = ModelAnswers.model_validate(read_json(folder / "card.json"))
        made = fingerprints.get(answers.model.replace("/", "@"), "")
        text = "\n\n".join(f"**{name}** {said}" for name, said in sentences(answers).items())
        for version in mlflow_client.search_model_versions(f"tags.fingerprint = '{made}'"):
            mlflow_client.update_model_version(version.name, version.version, text)
            model_id = version.source.rpartition("/")[2]  # `models:/m-...`; a search leaves `model_id` empty
            mlflow_client.log_model_artifacts(model_id, str(folder))


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package).split("+")[0]


def _tags(stage: str, branch: str, fingerprint: str) -> dict[str, str]:
    """Where DVC has the bytes: path and hash, and the inputs they were made from."""
    name, path = f"{stage}@{branch}", f"models/{stage}/{branch}"
    return {"dvc.path": path, "dvc.md5": dvc.hash_of(name, path), "fingerprint": fingerprint}
