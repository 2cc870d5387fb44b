"""One stage on the pretended GPU: `python -m benchmarks.gpu.stages CASE FOLDER`, prints its counts as JSON.

Cases: pretrain causal, masked, ranks (as the first of eight processes); finetune instruct, lora, classify, prefer, and
evaluate (all tasks), on the models and data of a finished demo in the project's folder. What trains runs whole, then
stopped and resumed, and its steps are counted, evaluation and checkpoints apart.
"""

import collections
import json
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.testing._internal.distributed.fake_pg import FakeStore

from benchmarks.gpu import pretend
from benchmarks.kill_and_resume import hashes
from benchmarks.results import ROOT
from components import params as schema
from components.core.errors import Stopped, UserError
from components.core.progress import Progress
from components.params import Numerics
from components.stages.evaluate import registry
from components.stages.evaluate.tasks.task import Folders
from components.stages.finetune import example_selection, job, preferences
from components.stages.finetune.stage import finetune
from components.stages.pretrain import memory_check
from components.stages.pretrain import stage as pretraining
from components.training.data_parallel import ProcessGroup
from components.training.loop import Trainer
from tests.components.small_corpus import small, write_tokens
from tests.components.stages.evaluate.tasks.test_harness import BLIMP
from tests.components.stages.evaluate.tasks.test_harness import write as write_task

NUMERICS = Numerics(device="cuda", compile=False, threads=1)
STEPS, RANKS, HELDOUT = 4, 8, 24
KINDS = {"waits_a_step": "wait", "blocking_copies_a_step": "blocking copy"}
COST: collections.Counter[str] = collections.Counter()
"""Steps trained in this process, and what they have cost."""


class StopsAt(Progress):
    """Asks to stop once so many steps were reported."""

    def __init__(self, step: int | None = None) -> None:
        self.stop, self.step = step, 0

    def log_metrics(self, step: int, metrics: dict[str, float]) -> None:
        """Keep the step."""
        self.step = step

    def raise_if_stopped(self) -> None:
        """Raise `Stopped` from that step on."""
        if self.stop is not None and self.step >= self.stop:
            raise Stopped("Stopped", "as asked")


def count_steps() -> None:
    """Have every training step add to `COST`; the first checkpoint is saved before all of them."""

    def counted(name: str) -> None:
        work = getattr(Trainer, name)

        def call(self: Trainer, *given: Any, **named: Any) -> Any:
            before = {kind: pretend.MODE.total(kind) for kind in KINDS.values()}
            try:
                return work(self, *given, **named)
            finally:
                COST["steps"] += name == "train_step"
                sign = 1 if name == "train_step" else -bool(self.result.losses)
                COST.update({kind: sign * (pretend.MODE.total(kind) - start) for kind, start in before.items()})

        setattr(Trainer, name, call)

    for name in ("train_step", "judge", "save"):
        counted(name)


def resumed(run: Callable[[Path, Progress], Any], folder: Path) -> dict[str, Any]:
    """Whether a run that was stopped and resumed ends with the bytes of a whole one."""
    for name, stop in (("whole", None), ("resumed", 2)):
        for progress in [StopsAt(stop)] if stop is None else [StopsAt(stop), StopsAt()]:
            try:
                run(folder / name, progress)
            except Stopped:
                continue
    whole = hashes(folder / "whole/out")
    return {"resumed_bytes_equal": int(bool(whole) and whole == hashes(folder / "resumed/out"))}


def pretrain(objective: Any, folder: Path) -> dict[str, Any]:
    """Of pretraining: bytes when resumed, and whether it is refused where there is too little memory."""
    tokens = write_tokens(folder / "tokenize")
    rows = 2
    params = small(steps=STEPS, micro_batch=rows, eval_every=100, checkpoint_every=2)
    arguments: dict[str, Any] = {"tokens": tokens, "params": params, "numerics": NUMERICS}

    def run(place: Path, progress: Progress) -> None:
        places: dict[str, Any] = {name: place / name for name in ("out", "reports", "work")}
        pretraining.pretrain(objective=objective, progress=progress, **arguments, **places)

    found = resumed(run, folder)
    inputs = pretraining.prepare(objective, tokens, params, NUMERICS)
    least = memory_check.state_bytes(params, inputs.shape)  # what is surely needed, and no more
    least += rows * memory_check.sequence_bytes(params, inputs.shape, NUMERICS)
    memory, torch.cuda.mem_get_info = torch.cuda.mem_get_info, lambda *_: (least, least)
    try:
        run(folder / "small", Progress())
    except UserError as error:
        found["refused_without_memory"] = int("training would take" in str(error))
    torch.cuda.mem_get_info = memory
    return {"refused_without_memory": 0} | found


def ranks(folder: Path) -> dict[str, Any]:
    """Steps of the first of several processes, whose exchanges reach nobody."""
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=RANKS)
    params = small(steps=STEPS, batch=2 * RANKS, micro_batch=1, eval_every=100, checkpoint_every=100)
    inputs = pretraining.prepare("causal", write_tokens(folder / "tokenize"), params, NUMERICS)
    model = pretraining.Transformer(inputs.shape).initialise(1)
    pretraining.train_on(inputs, model, folder / "work", Progress(), ProcessGroup(0, RANKS))
    return {}


def tune(case: str, folder: Path) -> dict[str, Any]:
    """A few steps of a branch of fine-tuning on few examples of a finished demo."""
    example_selection.MOST_HELDOUT = preferences.MOST_HELDOUT = HELDOUT  # type: ignore[attr-defined]
    job.EXAMPLES, job.ANSWER_TOKENS = 1, 4
    branch: Any = "instruct" if case == "lora" else case
    params = getattr(schema.load(ROOT / "params.yaml").finetune, branch)
    changes: dict[str, Any] = {"steps": STEPS, "batch": 4, "context": 64, "max_pairs": 60}
    changes |= {"lora_rank": 4} if case == "lora" else {}
    if branch == "prefer":
        changes["base"], changes["data"] = "models/finetune/instruct", "data/mix/train"
    params = params.model_copy(update=changes)

    def run(place: Path, progress: Progress) -> None:
        finetune(
            branch=branch, base=ROOT / params.base, train=ROOT / "data/mix/train",
            heldout=ROOT / "data/ingest/heldout", params=params, numerics=NUMERICS, out=place / "out",
            reports=place / "reports", work=place / "work", progress=progress,
        )  # fmt: skip

    return resumed(run, folder)


def evaluate(folder: Path) -> dict[str, Any]:
    """Every evaluation task, on the models of a finished demo; lm-eval's on a made-up task, where it is installed."""
    names = ("models/pretrain/causal", "models/pretrain/masked", "models/finetune/instruct", "models/finetune/classify",
             "data/mix", "data/ingest/heldout", "data/tokenize")  # fmt: skip
    settings: dict[str, Any] = {"items": 20, "heldout_kilobytes": 10.0}
    folder.mkdir(parents=True)
    if find_spec("lm_eval"):
        rows = [{"sentence_good": f"There are {n} words.", "sentence_bad": f"There is {n} words."} for n in range(9)]
        settings["tasks"] = [write_task(folder, "number", rows, **BLIMP)]
    params = schema.load(ROOT / "params.yaml").evaluate.model_copy(update=settings)
    places: Any = [ROOT / name for name in names]
    folders = Folders(*places)
    for group in registry.GROUPS:
        registry.run_group(group, folders, params, NUMERICS, folder)
    found = {name: registry.read_result(folder, name) for name in registry.wanted(params)}
    missing = {name: str(one) for name, one in found.items() if isinstance(one, str)}
    missing |= {name: "lm-eval is not installed" for name in registry.TASKS if name not in found}
    return {
        "tasks": len(registry.TASKS) - len(missing),
        "not_tried": "; ".join(f"{name}: {reason}" for name, reason in missing.items()),
    }


CASES: dict[str, Callable[[Path], dict[str, Any]]] = {"ranks": ranks, "evaluate": evaluate}


def main() -> None:
    """Run the case; its counts, or the sentence of what was refused."""
    case, folder = sys.argv[1], Path(sys.argv[2])
    torch.set_num_threads(1)
    pretend.install()
    count_steps()
    try:
        if case in CASES:
            found = CASES[case](folder)
        else:
            found = pretrain(case, folder) if case in ("causal", "masked") else tune(case, folder)
        found["mixed_devices"] = 0
    except RuntimeError as error:
        found = {"mixed_devices": 1, "error": str(error)}
    found["unrepeatable"] = pretend.MODE.total("unrepeatable")
    if COST["steps"]:
        found |= {"steps": COST["steps"]} | {name: COST[kind] / COST["steps"] for name, kind in KINDS.items()}
    print(json.dumps({"case": case} | found))


if __name__ == "__main__":
    main()
