"""Models in MLflow: a loadable copy of each, registered under one name per kind and size.

`models:/<model_name>-<objective>-<size>@champion` loads with `mlflow.transformers.load_model`. A run makes its model
`challenger`; the first of a name is also `champion`; later only the gate (`flows/compare.py --promote`) changes that.
"""

import contextlib
import io
from pathlib import Path
from typing import Any

from components.core.files import read_json
from components.params import Params
from flows.system import dvc

TASKS = {
    "causal": "text-generation",
    "instruct": "text-generation",
    "masked": "fill-mask",
    "classify": "feature-extraction",
}


def registered_name(params: Params, stage: str, branch: str) -> str:
    """`greenhouse-causal-2`: one registered model per kind and size, so that aliases mean something."""
    base = {"instruct": "causal", "classify": "masked"}.get(branch, branch)
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
            version = _log(folder, stage, branch, name, facts)
    finally:
        # Ending the run here would mark it FINISHED; the tracker does that when all is sent.
        mlflow.tracking.fluent._active_run_stack.get().clear()
    mlflow_client.set_registered_model_alias(name, "challenger", version)
    if version == "1":
        mlflow_client.set_registered_model_alias(name, "champion", version)
    for key, value in _tags(stage, branch, fingerprint).items():
        mlflow_client.set_model_version_tag(name, version, key, value)


def _log(folder: Path, stage: str, branch: str, name: str, facts: dict[str, Any]) -> str:
    """Log and register; the version it got."""
    import mlflow

    info = mlflow.transformers.log_model(
        transformers_model=_components(folder, branch),
        name=branch,
        task=TASKS[branch],
        pip_requirements=[f"{package}=={_version(package)}" for package in ("torch", "transformers", "tokenizers")],
        registered_model_name=name,
        metadata={"dvc_path": f"models/{stage}/{branch}", "num_parameters": facts.get("num_parameters")},
    )
    return str(info.registered_model_version)


def _components(folder: Path, branch: str) -> dict[str, Any]:
    import transformers

    kind = {"classify": "AutoModelForSequenceClassification", "masked": "AutoModelForMaskedLM"}.get(
        branch, "AutoModelForCausalLM"
    )
    return {
        "model": getattr(transformers, kind).from_pretrained(folder, local_files_only=True),
        "tokenizer": transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True),
    }


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package).split("+")[0]


def _tags(stage: str, branch: str, fingerprint: str) -> dict[str, str]:
    """Where DVC has the bytes: path and hash, and the inputs they were made from."""
    name, path = f"{stage}@{branch}", f"models/{stage}/{branch}"
    return {"dvc.path": path, "dvc.md5": dvc.hash_of(name, path), "fingerprint": fingerprint}
