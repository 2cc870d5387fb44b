"""The ids that a causal model gets of one raw prompt, on every surface that takes one: after `make demo`."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from benchmarks.llama_cpp import ids as llama_cpp_ids
from benchmarks.llama_cpp import server
from benchmarks.results import ROOT, goal
from benchmarks.texts import spaced
from components.gguf import write_gguf
from components.model import export, generate

PROMPTS, CHARACTERS = 12, 200
"""Beginnings of held-out documents that are asked, and how long they are."""
SURFACES = ("generate", "chat", "transformers", "mlflow", "llama.cpp", "lm-eval")


def measure(place: Path) -> tuple[dict, list[dict], list[dict]]:
    """How many surfaces give a prompt the ids that our own generation gives it; a row per prompt and surface."""
    rows = []
    name = registered(ROOT / "models/pretrain/causal", place)
    for prompt in spaced(ROOT / "data/ingest/heldout", PROMPTS):
        found = ids_of(ROOT / "models/pretrain/causal", name, prompt[:CHARACTERS], place)
        rows += [
            {"surface": surface, "ids": len(ids), "equal": ids == found["generate"]} for surface, ids in found.items()
        ]
    equal = [surface for surface in SURFACES if all(row["equal"] for row in rows if row["surface"] == surface)]
    result = {"surfaces_equal": {"surfaces": equal, "prompts": len(rows) // len(SURFACES)}}
    return result, [goal("surfaces_equal", len(equal), len(SURFACES), "higher", "one raw prompt, the same ids")], rows


def registered(folder: Path, place: Path) -> str:
    """The URI of a copy of a causal model in an MLflow of its own, made as a run does."""
    import mlflow

    from flows.tracking.model_registry import ModelRecord, log_model

    address = f"sqlite:///{place}/mlflow.db"
    os.environ["MLFLOW_TRACKING_URI"] = address
    mlflow.set_tracking_uri(address)
    client = mlflow.MlflowClient()
    run = client.create_run(client.create_experiment("surfaces", (place / "mlartifacts").as_uri()))
    log_model(client, run.info.run_id, folder, ModelRecord("pretrain", "causal", "causal", "", "", ""))
    return "models:/causal@champion"


def ids_of(folder: Path, mlflow_model: str, prompt: str, work: Path) -> dict[str, list[int]]:
    """Surface -> the ids before the first new one.

    Args:
        folder: of a causal model that was not tuned to chat.
        mlflow_model: the URI of its copy in MLflow.
        work: gets a GGUF file.
    """
    from mlflow.pyfunc import load_model
    from transformers import pipeline

    served: Any = load_model(mlflow_model)
    return {
        "generate": _own(lambda: _generate(folder, prompt)),
        "chat": _own(lambda: _chat(folder, prompt)),
        "transformers": _given(one := pipeline("text-generation", str(folder)), lambda: one(prompt, max_new_tokens=1)),
        "mlflow": _given(served.get_raw_model(), lambda: served.predict(prompt, params={"max_new_tokens": 1})),
        "llama.cpp": _llama_cpp(folder, prompt, work / "model.gguf"),
        "lm-eval": _harness(folder).tok_encode(prompt),
    }


def _generate(folder: Path, prompt: str) -> None:
    model, tokenizer, _ = export.load(folder)
    generate.generate(model, tokenizer, prompt, max_tokens=1)


def _chat(folder: Path, prompt: str) -> None:
    from flows.chat import Sampling, open_chat

    open_chat(folder, Sampling(max_tokens=1))[0].answer(prompt, lambda text: None)


def _own(call: Callable[[], None]) -> list[int]:
    """The ids that our own loop continues, in a call."""
    seen: list[list[int]] = []
    continued = generate.continued

    def spy(model: Any, rows: Sequence[Sequence[int]], *rest: Any) -> list[list[int]]:
        seen.extend(list(row) for row in rows)
        return continued(model, rows, *rest)

    with mock.patch.object(generate, "continued", spy):
        call()
    return seen[0]


def _given(pipeline: Any, call: Callable[[], Any]) -> list[int]:
    """The first ids that a pipeline's model is given, in a call."""
    seen: list[torch.Tensor] = []
    with _hook(pipeline.model, lambda options: seen.append(options["input_ids"])):
        call()
    return list(map(int, seen[0][0]))


@contextmanager
def _hook(model: torch.nn.Module, see: Callable[[dict], None]) -> Iterator[None]:
    handle = model.register_forward_pre_hook(lambda _, args, options: see(options), with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def _llama_cpp(folder: Path, prompt: str, path: Path) -> list[int]:
    """As the server begins a prompt; what it counted of the same prompt in a completion agrees."""
    write_gguf(folder, path, {})
    with server(path) as client:
        (found,) = llama_cpp_ids(client, [prompt], special=True)
        answer = client.post("/completion", json={"prompt": prompt, "n_predict": 1}).raise_for_status().json()
        assert answer["tokens_evaluated"] == len(found)
        return found


def _harness(folder: Path) -> Any:
    from lm_eval.models.huggingface import HFLM

    return HFLM(pretrained=str(folder), device="cpu", batch_size=1)
