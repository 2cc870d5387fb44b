"""What GRPO gains beside supervised tuning of equal joules: `python -m benchmarks.finetune_gain PLACE RESULT`.

The base has learned, as a chat, to add in written-out steps, and is right twice in five or more. Both get equal rows:
sums and their final answers. GRPO samples steps and is rewarded for the end; supervised tuning learns the answer.
Five seeds of rows and training; gains are paired by seed, their intervals Student's over seeds (one base, one set of
test sums). Joules are CPU seconds here, to which they are proportional on one machine. Beside them stands
supervised tuning on whole worked answers, which GRPO never sees: it knows more, so no goal is put on it.
"""

import copy
import math
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer

from components.core.files import write_json
from components.core.progress import Progress
from components.finetuning_data.chat import encode
from components.finetuning_data.formats import Message
from components.instruction_pairs.examples import PromptPair
from components.model.transformer import Transformer, derive_shape
from components.params import ModelShape, Numerics, Reinforce
from components.stages.finetune import instruct, reinforcement
from components.stages.finetune.reinforcement import Problem, Sampler
from components.stages.finetune.rewards import Rewards
from components.stages.finetune.stage import settings_of
from components.statistics import ratio
from components.synthetic import curriculum
from components.tokens.tokenizer import Encoder, train_bpe
from components.training.loop import train
from components.training.objectives import language_model_loss

SEEDS, ROWS, TESTED, CONTEXT = 5, 512, 240, 64
SHAPE, NUMERICS = ModelShape(size=2, width=64, heads=2), Numerics(dtype="float32", threads=1)
ENOUGH, EVERY, MOST, BATCH = 0.4, 200, 6000, 32
"""The base is trained until so many test sums are right, judged every so many steps of at most so many."""
TUNED = {"context": CONTEXT, "max_tokens": 28, "batch": 8, "learning_rate": 3e-4, "steps": 60}
RATES = (1e-4, 1e-3)
"""Of supervised tuning; the one with the higher mean over the seeds counts."""
TRIED = 10
"""Steps that time a step of supervised tuning; they are not counted."""


def sums(seed: int, count: int, split: curriculum.Split = "train") -> list[curriculum.Problem]:
    """Sums of two digits, to be answered in steps."""
    return curriculum.items("arithmetic", seed, count, split=split, digits=2, steps=1)


def pairs(encoder: Encoder, problems: list[curriculum.Problem], worked: bool) -> list[instruct.Ids]:
    """Prompts with whole worked answers, or with their ends, as ids."""
    found = []
    for one in problems:
        answer = Message("assistant", one.answer if worked else one.final)
        ids, learned = encode((Message("user", one.prompt), answer), encoder)
        found.append((ids[: learned.index(True)], ids[learned.index(True) :]))
    return instruct.by_length(found)


def supervised(
    model: Any, rows: list[instruct.Ids], steps: int, rate: float, seed: int, work: Path, **more: Any
) -> None:
    """Tune on rows, in place."""
    settings = settings_of(Reinforce(**TUNED | {"learning_rate": rate}), steps, "bench", EVERY)
    batches = instruct.PairBatches(rows, BATCH, CONTEXT, seed)
    train(model, batches, language_model_loss, settings, work, Progress(), numerics=NUMERICS, **more)


def cpu_seconds(call: Any) -> float:
    """CPU seconds of a call."""
    started = time.process_time()
    call()
    return time.process_time() - started


def measured(place: Path) -> dict[str, Any]:
    """Accuracy of the base, and by seed of GRPO and of supervised tuning; gains and CPU seconds."""
    torch.set_num_threads(1)
    made = train_bpe([one.text for task in curriculum.TASKS for one in curriculum.items(task, 1, 400)], 330)
    encoder = Encoder(made.to_str())
    sampler = Sampler(Tokenizer.from_str(made.to_str()), encoder.stops, Rewards(place), TUNED["max_tokens"])

    def problems(some: list[curriculum.Problem]) -> list[Problem]:
        found = [PromptPair(one.prompt, one.final, str(number)) for number, one in enumerate(some)]
        return reinforcement.encoded(found, encoder, CONTEXT, sampler.max_tokens, [])

    tested = problems(sums(1, TESTED, "test"))

    def accuracy(model: Any) -> float:
        return float(np.mean(sampler(model.eval(), tested)[2]))

    base = Transformer(derive_shape(SHAPE, made.get_vocab_size(), CONTEXT, causal=True)).initialise(1)
    rows, step = pairs(encoder, sums(0, 20_000), worked=True), 0
    while step < MOST and (found := accuracy(base)) < ENOUGH:
        step += EVERY
        supervised(base, rows, MOST, 3e-3, 1, place / "base", until=step)
        print(f"base: {step} steps", flush=True)
    arms: dict[str, list[float]] = {}
    used: dict[str, list[float]] = {}
    for seed in range(2, 2 + SEEDS):
        given, params = sums(seed, ROWS), Reinforce(**TUNED | {"seed": seed})
        model, work = copy.deepcopy(base), place / f"{seed}"
        batches = reinforcement.GroupBatches(model, sorted(problems(given), key=len), sampler, params, NUMERICS,
                                             work / "completions", Progress())  # fmt: skip
        loss = reinforcement.GRPOLoss(params.clip, params.kl_weight, params.temperature)
        settings = settings_of(params, params.steps, "bench", EVERY)
        spent = cpu_seconds(partial(train, model, batches, loss, settings, work / "grpo", Progress(),
                                    numerics=NUMERICS))  # fmt: skip
        arms.setdefault("grpo", []).append(accuracy(model))
        used.setdefault("grpo", []).append(spent)
        for kind in ("final", "worked"):
            rows = pairs(encoder, given, kind == "worked")
            tried = cpu_seconds(partial(supervised, copy.deepcopy(base), rows, TRIED, 1e-4, seed, work / f"try-{kind}"))
            for rate in RATES:
                model, name = copy.deepcopy(base), f"{kind} {rate:g}"
                steps = max(1, math.ceil(spent / (tried / TRIED)))
                cost = cpu_seconds(partial(supervised, model, rows, steps, rate, seed, work / name))
                arms.setdefault(name, []).append(accuracy(model))
                used.setdefault(name, []).append(cost)
        print(f"seed {seed}: " + ", ".join(f"{name} {scores[-1]:.3f}" for name, scores in arms.items()), flush=True)
    best = {kind: max((f"{kind} {rate:g}" for rate in RATES), key=lambda name: float(np.mean(arms[name])))
            for kind in ("final", "worked")}  # fmt: skip
    gains = {kind: ratio((np.array(arms["grpo"]) - np.array(arms[name])).tolist(), unit="seeds").as_dict()
             for kind, name in best.items()}  # fmt: skip
    return {"base": found, "base_steps": step, "accuracy": arms, "cpu_s": used, "best": best, "gain": gains}


if __name__ == "__main__":
    write_json(Path(sys.argv[2]), measured(Path(sys.argv[1])))
