"""Models in MLflow: a loadable copy of each, registered under one name per kind and size.

`models:/<model_name>-<objective>-<size>@champion` loads with `mlflow.transformers.load_model`. A
run makes its model `challenger`; the first of a name that the workspace makes is also `champion`;
later only the gate (`flows/promote.py`) changes that.
"""

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.core.files import read_json
from components.params import FURTHER, Params
from components.stages.account.answer_text import sentences
from components.stages.account.answers import ModelAnswers
from components.stages.account.model_answers import lineage, load_answer
from components.stages.account.model_card import write_card
from flows.system.environment import mlflow_address

TASKS: dict[str, tuple[str, str]] = {
    "causal": ("text-generation", "AutoModelForCausalLM"),
    "instruct": ("llm/v1/chat", "AutoModelForCausalLM"),
    **dict.fromkeys(FURTHER, ("llm/v1/chat", "AutoModelForCausalLM")),
    "masked": ("fill-mask", "AutoModelForMaskedLM"),
    "classify": ("text-classification", "AutoModelForSequenceClassification"),
}
"""Branch -> task of its MLflow model, and the class of `transformers` that loads it."""
QUESTION = "What does this function do?"
SAMPLING: dict[str, Any] = {"max_new_tokens": 64, "do_sample": True, "temperature": 0.7, "top_p": 0.9}
"""Settings of a causal model's `predict`, with their defaults: those of `greenhouse chat`."""


def registered_name(params: Params, stage: str, branch: str) -> str:
    """`greenhouse-causal-2`: one registered model per kind and size, or base, so that aliases mean something."""
    first = lineage(f"{stage}/{branch}", params.finetune.model_dump())[0]
    base = first.removeprefix("pretrain/")
    if base == first:  # made elsewhere
        return f"{params.account.model_name}-{branch}-{re.sub(r'[^A-Za-z0-9_.-]+', '-', first)}"
    size = getattr(params.pretrain, base).model.size
    return f"{params.account.model_name}-{branch}-{size}"


@dataclass
class ModelRecord:
    """What the registry holds of a model that a stage made.

    Attributes:
        stage, branch: that made it.
        name: of the registered model.
        licence: SPDX, as its owner states it; empty for none.
        md5: DVC's hash of its folder.
        fingerprint: of the stage's inputs, by which versions are known.
        workspace: whether it was made there, and not by an experiment.
    """

    stage: str
    branch: str
    name: str
    licence: str
    md5: str
    fingerprint: str
    workspace: bool = True

    @property
    def path(self) -> str:
        return f"models/{self.stage}/{self.branch}"

    @property
    def tags(self) -> dict[str, str]:
        """Where DVC has the bytes, and the inputs they were made from."""
        return {"dvc.path": self.path, "dvc.md5": self.md5, "fingerprint": self.fingerprint}


def log_model(mlflow_client: Any, run_id: str, folder: Path, model: ModelRecord) -> None:
    """Copy a model folder into MLflow, register it, set its aliases and tags. Done again, it makes no second version.

    The copy is safetensors and JSON, no pickle; the requirements are stated, not guessed by
    importing.
    """
    import logging

    import transformers

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    known = mlflow_client.search_model_versions(f"run_id = '{run_id}'")
    version = str(known[0].version) if known else _registered(mlflow_client, run_id, folder, model)
    mlflow_client.set_registered_model_alias(model.name, "challenger", version)
    if model.workspace and "champion" not in mlflow_client.get_registered_model(model.name).aliases:
        mlflow_client.set_registered_model_alias(model.name, "champion", version)
    for key, value in model.tags.items():
        mlflow_client.set_model_version_tag(model.name, version, key, value)


def _registered(mlflow_client: Any, run_id: str, folder: Path, model: ModelRecord) -> str:
    """The version that a model becomes, logged with its licence and the simpler model beside it."""
    from mlflow.exceptions import MlflowException

    info = _log(run_id, folder, model)
    with tempfile.TemporaryDirectory() as temporary:  # MLflow's own points at a repository of that name
        licence = Path(temporary, "LICENSE.txt")
        licence.write_text(licence_text(model.licence))
        mlflow_client.log_model_artifact(info.model_id, str(licence))
    if (folder / "tfidf").exists():
        mlflow_client.log_model_artifacts(info.model_id, str(folder / "tfidf"), "tfidf")
    try:
        mlflow_client.create_registered_model(model.name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    version = mlflow_client.create_model_version(model.name, info.model_uri, run_id, model_id=info.model_id)
    return str(version.version)


def _log(run_id: str, folder: Path, model: ModelRecord) -> Any:
    """Log a model to its run; what MLflow says of it."""
    import mlflow
    from huggingface_hub import ModelCard
    from mlflow.models import infer_signature

    pipeline = _pipeline(folder, model.branch)
    # MLflow would note the folder's absolute path as the model's source, and look it up on the Hugging Face hub.
    pipeline.model.name_or_path = model.path
    num_parameters = read_json(folder / "greenhouse.json").get("num_parameters")
    licence = model.licence
    mlflow.start_run(run_id=run_id, nested=True)
    try:
        return mlflow.transformers.log_model(
            transformers_model=pipeline,
            name=model.branch,
            task=TASKS[model.branch][0],
            input_example=_example(model.branch, pipeline.tokenizer),
            signature=infer_signature(QUESTION, "text", SAMPLING) if model.branch == "causal" else None,
            model_card=ModelCard(f"---\nlicense: {licence.lower() or 'unknown'}\n---\n# {model.path}\n"),
            pip_requirements=[f"{package}=={_version(package)}" for package in ("torch", "transformers", "tokenizers")],
            metadata={"dvc_path": model.path, "num_parameters": num_parameters, "licence": licence or "not stated"},
        )
    finally:
        mlflow.end_run()  # whoever records the stage gives it its status


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
    statement = (
        f"SPDX-License-Identifier: {licence}\nhttps://spdx.org/licenses/{licence}.html"
        if licence
        else "The owner of this model has stated no licence for it (account.licence in params.yaml)."
    )
    return f"{statement}\nLicences of the text it was trained on, as its sources state them: ATTRIBUTION.md.\n"


def describe_models(mlflow_client: Any, cards: Path, fingerprints: dict[str, str]) -> None:
    """Put the card of each model beside its registered copy, and its five answers into the version's description.

    Args:
        cards: `reports/cards`, as the account stage left it.
        fingerprints: stage -> fingerprint of its inputs, by which versions are known.
    """
    for folder in sorted(cards.iterdir()):
        answers = ModelAnswers.model_validate(read_json(folder / "card.json"))
        fingerprint = fingerprints.get(answers.model.replace("/", "@"), "")
        for version in mlflow_client.search_model_versions(f"tags.fingerprint = '{fingerprint}'"):
            # The folder in the workspace may hold another version by now.
            load = load_answer(answers.model, f"models:/{version.name}/{version.version}", "", mlflow_address())
            registered = answers.model_copy(update={"load": load})
            lines = [f"**{name}** {text}" for name, text in sentences(registered).items()]
            text = "\n\n".join(filter(None, [registered.facts.task.get("advice"), *lines]))
            mlflow_client.update_model_version(version.name, version.version, text)
            model_id = version.source.rpartition("/")[2]  # `models:/m-...`; a search leaves `model_id` empty
            with tempfile.TemporaryDirectory() as temporary:
                write_card(registered, Path(temporary))
                mlflow_client.log_model_artifacts(model_id, temporary)


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package).split("+")[0]
