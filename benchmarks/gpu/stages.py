"""One stage on the pretended GPU: `python -m benchmarks.gpu.stages CASE FOLDER`, prints its counts as JSON.

Cases: pretrain causal, masked (whole, then stopped and resumed); finetune instruct, lora, classify, prefer, and
evaluate (all tasks), on the models and data of a finished demo in the project's folder.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu import pretend
from benchmarks.results import ROOT
from components import params as schema
from components.core.errors import Stopped, UserError
from components.core.files import sha256_file
from components.core.progress import Progress
from components.params import Numerics
from components.stages.evaluate import registry
from components.stages.evaluate.tasks.task import Folders
from components.stages.finetune.stage import finetune
from components.stages.pretrain import memory_check
from components.stages.pretrain import stage as pretraining
from tests.components.small_corpus import small, write_tokens

NUMERICS = Numerics(device="cuda", compile=False, threads=1)
STEPS = 4


class StopsAt(Progress):
    """Asks to stop once so many steps were reported; counts from the first report on what the steps after it cost."""

    def __init__(self, step: int | None = None) -> None:
        self.stop, self.step = step, 0

    def log_metrics(self, step: int, metrics: dict[str, float]) -> None:
        """Keep the step."""
        self.step = step

    def raise_if_stopped(self) -> None:
        """Raise `Stopped` from that step on."""
        if self.stop is not None and self.step >= self.stop:
            raise Stopped("Stopped", "as asked")


def pretrain(objective: Any, folder: Path) -> dict[str, Any]:
    """Bytes of a whole run and of one that was stopped and resumed, and waits a step."""
    tokens, bytes_of = write_tokens(folder / "tokenize"), {}
    params = small(steps=STEPS, micro_batch=2, eval_every=100, checkpoint_every=2)
    for name, stop in (("whole", None), ("resumed", 2)):
        out, reports, work = (folder / name / part for part in ("out", "reports", "work"))
        for progress in [StopsAt(stop)] if stop is None else [StopsAt(stop), StopsAt()]:
            try:
                arguments: dict[str, Any] = {
                    "tokens": tokens,
                    "params": params,
                    "numerics": NUMERICS,
                    "out": out,
                    "work": work,
                }
                pretraining.pretrain(objective=objective, reports=reports, progress=progress, **arguments)
            except Stopped:
                continue
        bytes_of[name] = sha256_file(out / "model.safetensors")
    return {
        "resumed_bytes_equal": int(bytes_of["whole"] == bytes_of["resumed"]),
        "refused_without_memory": int(refused(objective, params, tokens, folder)),
    } | of_a_step(objective, params, tokens, folder)


def refused(objective: Any, params: Any, tokens: Path, folder: Path) -> bool:
    """Whether a run is refused before its first step on a device that has what is surely needed, and no more."""
    inputs = pretraining.prepare(objective, tokens, params, NUMERICS)
    least = memory_check.state_bytes(params, inputs.shape)
    least += params.micro_batch * memory_check.sequence_bytes(params, inputs.shape, NUMERICS)
    memory, torch.cuda.mem_get_info = torch.cuda.mem_get_info, lambda *_: (least, least)
    try:
        pretraining.pretrain(objective=objective, tokens=tokens, params=params, numerics=NUMERICS, out=folder / "small",
                             reports=folder / "small", work=folder / "small")  # fmt: skip
    except UserError as error:
        return "training would take" in str(error)
    finally:
        torch.cuda.mem_get_info = memory
    return False


def of_a_step(objective: Any, params: Any, tokens: Path, folder: Path) -> dict[str, float]:
    """Waits and blocking copies of a step: those of a run twice as long less those of one, by the steps between."""
    kinds, counted = ("wait", "blocking copy"), []
    for steps in (STEPS, 2 * STEPS):
        more = params.model_copy(update={"steps": steps, "checkpoint_every": 1000, "eval_every": 1000})
        inputs = pretraining.prepare(objective, tokens, more, NUMERICS)
        model = pretraining.Transformer(inputs.shape).initialise(1)
        before = [pretend.MODE.total(kind) for kind in kinds]
        pretraining.train_on(inputs, model, folder / f"waits-{steps}", Progress(), pretraining.data_parallel.SINGLE)
        counted.append([pretend.MODE.total(kind) - start for kind, start in zip(kinds, before, strict=True)])
    names = ("waits_a_step", "blocking_copies_a_step")
    return {name: (more - less) / STEPS for name, less, more in zip(names, *counted, strict=True)}


def tune(case: str, folder: Path) -> dict[str, Any]:
    """A few steps of a branch of fine-tuning on a finished demo."""
    branch: Any = "instruct" if case == "lora" else case
    params = getattr(schema.load(ROOT / "params.yaml").finetune, branch)
    changes: dict[str, Any] = {"steps": STEPS, "batch": 4} | ({"lora_rank": 4} if case == "lora" else {})
    if branch == "prefer":
        changes["base"], changes["data"] = "models/finetune/instruct", "data/mix/train"
    params = params.model_copy(update=changes)
    finetune(
        branch=branch, base=ROOT / params.base, train=ROOT / "data/mix/train", heldout=ROOT / "data/ingest/heldout",
        params=params, numerics=NUMERICS, out=folder / "out", reports=folder / "reports",
        work=folder / "work", progress=Progress(),
    )  # fmt: skip
    return {}


def evaluate(folder: Path) -> dict[str, Any]:
    """Every evaluation task, on the models of a finished demo."""
    names = ("models/pretrain/causal", "models/pretrain/masked", "models/finetune/instruct", "models/finetune/classify",
             "data/mix", "data/ingest/heldout", "data/tokenize")  # fmt: skip
    params = schema.load(ROOT / "params.yaml").evaluate.model_copy(update={"items": 20, "heldout_kilobytes": 10.0})
    places: Any = [ROOT / name for name in names]
    folders = Folders(*places)
    for group in registry.GROUPS:
        registry.run_group(group, folders, params, NUMERICS, folder)
    found = [registry.read_result(folder, name) for name in registry.wanted(params)]
    return {
        "tasks": sum(not isinstance(one, str) for one in found),
        "tasks_that_do_not_apply": sum(isinstance(one, str) for one in found),
    }


def main() -> None:
    """Run the case; its counts, or the sentence of what was refused."""
    case, folder = sys.argv[1], Path(sys.argv[2])
    torch.set_num_threads(1)
    pretend.install()
    try:
        if case in ("causal", "masked"):
            found = pretrain(case, folder)
        else:
            found = evaluate(folder) if case == "evaluate" else tune(case, folder)
        found["mixed_devices"] = 0
    except RuntimeError as error:
        found = {"mixed_devices": 1, "error": str(error)}
    found["unrepeatable"] = pretend.MODE.total("unrepeatable")
    print(json.dumps({"case": case} | found))


if __name__ == "__main__":
    main()
