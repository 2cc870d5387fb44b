"""What GRPO gains beside supervised tuning of equal joules: `python -m benchmarks.finetune_gain PLACE RESULT [SEEDS]`.

The base has learned, as a chat, to add in written-out steps, and is right twice in five or more. All get equal rows:
sums and their final answers. GRPO samples steps and is rewarded for the end; three lengths of it are run, since what it
is worth depends on how much of it there is. Supervised tuning of the same joules learns

    final     the final answers
    own       what the base itself wrote and was right (rejection sampling: Yuan et al. 2023, arXiv:2308.01825)
    worked    whole worked answers, which the others never see: it knows more, so no goal is put on it

The goal is on the gain over the better of the first two, at the greatest length. Five seeds of rows and training; gains
are paired by seed, their intervals Student's over seeds (one base, one set of test sums). Joules are CPU seconds here,
to which they are proportional on one machine; sampling counts.

Every training leaves its figures in PLACE, so a bench that was cut short goes on where it was; a training that was cut
short begins anew, since its CPU seconds must be those of all its steps.
"""

import copy
import math
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from components.core.files import read_json, write_json
from components.core.progress import Progress
from components.finetuning_data.chat import encode
from components.finetuning_data.rows import Message
from components.instruction_pairs.examples import PromptPair
from components.model.shape import derive_shape
from components.model.transformer import Transformer
from components.params import ModelShape, Numerics, Reinforce
from components.stages.finetune import instruct, reinforcement
from components.stages.finetune.reinforcement import EncodedPrompt, Sampler
from components.stages.finetune.rewards import Rewards
from components.stages.finetune.settings import settings_of
from components.statistics import ratio
from components.synthetic import curriculum
from components.tokens.tokenizer import Encoder, train_bpe
from components.training.data_order import mixed
from components.training.loop import train
from components.training.objectives import language_model_loss

SEEDS, ROWS, TESTED, CONTEXT = 5, 512, 240, 64
SHAPE, NUMERICS = ModelShape(size=2, width=64, heads=2), Numerics(dtype="float32", threads=1)
ENOUGH, EVERY, MOST, BATCH = 0.4, 200, 6000, 32
"""The base is trained until so many test sums are right, judged every so many steps of at most so many."""
TUNED = {"context": CONTEXT, "max_tokens": 28, "batch": 16, "group": 4}
STEPS = (60, 240, 960)
"""Lengths of GRPO."""
RATES = {"grpo": (3e-4, 1e-3), "final": (1e-3,), "own": (1e-4, 1e-3), "worked": (1e-3,)}
"""Of GRPO, and of supervised tuning (see the module docstring); of each the one with the higher mean over the seeds
counts. With 1e-4 `final` and `worked` were worse on five seeds, at 60 steps."""
STEPS_PER_WRITTEN = 30
"""Steps of GRPO for each completion that the base writes of every sum for `own`: 2, 8 and 32."""
TRIED = (10, 60)
"""Steps of two trials that time a step of supervised tuning; they are not counted."""


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
    settings = settings_of(Reinforce(**TUNED | {"learning_rate": rate, "steps": steps}), steps, "bench", EVERY)
    batches = instruct.PairBatches(rows, BATCH, CONTEXT, seed)
    train(model, batches, language_model_loss, settings, work, Progress(), numerics=NUMERICS, **more)


def cpu_seconds(call: Callable[[], Any]) -> float:
    """CPU seconds of a call."""
    started = time.process_time()
    call()
    return time.process_time() - started


def kept(work: Path, make: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """What `make` finds when it trains in the folder `work`; of a second call what the first one wrote down."""
    result = work / "result.json"
    if not result.exists():
        shutil.rmtree(work, ignore_errors=True)
        write_json(result, make(work))
    return dict(read_json(result))


@dataclass
class Contest:
    """The base that all start from, and what they are judged by."""

    place: Path

    def __post_init__(self) -> None:
        made = train_bpe([one.text for task in curriculum.TASKS for one in curriculum.items(task, 1, 400)], 330)
        self.encoder = Encoder(made.to_str())
        self.sampler = Sampler(Tokenizer.from_str(made.to_str()), self.encoder.stops, Rewards(self.place),
                               TUNED["max_tokens"])  # fmt: skip
        self.tested = self.problems(sums(1, TESTED, "test"))
        self.base = Transformer(derive_shape(SHAPE, made.get_vocab_size(), CONTEXT, causal=True)).initialise(1)
        self.found = kept(self.place / "base", self.train_base)
        self.base.load_state_dict(load_file(self.place / "base" / "base.safetensors"))

    def problems(self, some: list[curriculum.Problem]) -> list[EncodedPrompt]:
        """Sums as GRPO sees them: prompts, and what is to be found at the end of a completion."""
        found = [PromptPair(one.prompt, one.final, str(number)) for number, one in enumerate(some)]
        return reinforcement.encoded(found, self.encoder, CONTEXT, self.sampler.max_tokens, [], is_exact=True)

    def accuracy(self, model: Any) -> float:
        """Share of the test sums that end rightly."""
        return float(np.mean(self.sampler.greedy(model.eval(), self.tested)[1]))

    def train_base(self, work: Path) -> dict[str, Any]:
        """Train on worked sums until it is right often enough; its accuracy and steps."""
        rows, step, right = pairs(self.encoder, sums(0, 20_000), worked=True), 0, 0.0
        while step < MOST and right < ENOUGH:
            step += EVERY
            supervised(self.base, rows, MOST, 3e-3, 1, work / "checkpoints", until=step)
            right = self.accuracy(self.base)
            print(f"base: {step} steps, {right:.3f} right", flush=True)
        save_file({name: tensor.contiguous() for name, tensor in self.base.state_dict().items()},
                  work / "base.safetensors")  # fmt: skip
        return {"accuracy": right, "steps": step}

    def grpo(self, seed: int, rate: float, steps: int, work: Path) -> dict[str, float]:
        """Accuracy after GRPO, and its CPU seconds."""
        params = Reinforce(**TUNED | {"seed": seed, "learning_rate": rate, "steps": steps})
        model = copy.deepcopy(self.base)
        batches = reinforcement.GroupBatches(model, sorted(self.problems(sums(seed, ROWS)), key=len), self.sampler,
                                             params, NUMERICS, work / "completions", Progress())  # fmt: skip
        loss: Any = reinforcement.GRPOLoss(params.clip, params.kl_weight, params.temperature)
        settings = settings_of(params, params.steps, "bench", EVERY)
        cpu_s = cpu_seconds(partial(train, model, batches, loss, settings, work / "checkpoints", Progress(),
                                    numerics=NUMERICS))  # fmt: skip
        return {"accuracy": self.accuracy(model), "cpu_s": cpu_s}

    def rows(self, seed: int, kind: str, written: int) -> list[instruct.Ids]:
        """What supervised tuning learns from, as ids; of `own`, what is right of so many completions of each sum."""
        given = sums(seed, ROWS)
        if kind != "own":
            return pairs(self.encoder, given, kind == "worked")
        problems = self.problems(given)
        seeds = [mixed(place, seed) for place in range(len(problems))]
        made = self.sampler.ids(self.base.eval(), problems, written, Reinforce(**TUNED).temperature, seeds)
        rewards = self.sampler.rewarded(problems, made, written)
        asked = [one for one in problems for _ in range(written)]
        return instruct.by_length([(one.ids, ids) for one, ids, right in zip(asked, made, rewards, strict=True)
                                   if right])  # fmt: skip

    def supervised(
        self, seed: int, kind: str, rate: float, written: int, budget_s: float, work: Path
    ) -> dict[str, float]:
        """Accuracy after supervised tuning of so many CPU seconds or a little more, its steps and CPU seconds."""
        started = time.process_time()
        rows = self.rows(seed, kind, written)
        rows_s = time.process_time() - started
        # What a step costs is the difference of a longer and a shorter trial: both pay once for what is done once.
        few_s, many_s = (
            cpu_seconds(partial(supervised, copy.deepcopy(self.base), rows, steps, rate, seed, work / f"try-{steps}"))
            for steps in TRIED
        )
        step_s = (many_s - few_s) / (TRIED[1] - TRIED[0])
        steps, model = math.ceil((budget_s - rows_s - few_s) / step_s) + TRIED[0], copy.deepcopy(self.base)
        cpu_s = rows_s + cpu_seconds(partial(supervised, model, rows, steps, rate, seed, work / "checkpoints"))
        return {"accuracy": self.accuracy(model), "cpu_s": cpu_s, "steps": steps}


def compared(contest: Contest, steps: int, seeds: Sequence[int]) -> dict[str, Any]:
    """GRPO of so many steps and supervised tuning of its joules: accuracy by seed, and gains."""
    arms: dict[str, dict[float, list[dict[str, Any]]]] = {
        kind: {rate: [] for rate in rates} for kind, rates in RATES.items()
    }
    for seed in seeds:
        for kind, by_rate in arms.items():
            for rate, runs in by_rate.items():
                if kind == "grpo":
                    tune = partial(contest.grpo, seed, rate, steps)
                else:
                    budget_s = max(found[-1]["cpu_s"] for found in arms["grpo"].values())
                    tune = partial(contest.supervised, seed, kind, rate, steps // STEPS_PER_WRITTEN, budget_s)
                runs.append(kept(contest.place / f"{steps}-{seed}-{kind}-{rate:g}", tune))
                shown = f"{runs[-1]['accuracy']:.3f} right in {runs[-1]['cpu_s']:.1f} s"
                print(f"{steps:>4} steps, seed {seed} {kind:>7} {rate:g}: {shown}", flush=True)
    right = {kind: {rate: np.array([one["accuracy"] for one in runs]) for rate, runs in by_rate.items()}
             for kind, by_rate in arms.items()}  # fmt: skip
    best = {kind: max(by_rate, key=lambda rate: float(by_rate[rate].mean())) for kind, by_rate in right.items()}
    scores = {kind: right[kind][rate] for kind, rate in best.items()}
    means = {kind: ratio(one.tolist(), unit="seeds").as_dict() for kind, one in scores.items()}
    ours = scores.pop("grpo")
    scores["base"] = np.full(len(ours), contest.found["accuracy"])
    gains = {kind: ratio((ours - other).tolist(), unit="seeds").as_dict() for kind, other in scores.items()}
    return {"arms": arms, "best_rate": best, "accuracy": means, "gain": gains}


def measured(place: Path, seeds: Sequence[int]) -> dict[str, Any]:
    """Accuracy of the base, and by number of steps what `compared` finds."""
    torch.set_num_threads(1)
    torch.optim.AdamW([torch.zeros(1, requires_grad=True)])  # the first one imports for seconds: not a training's cost
    contest = Contest(place)
    return {"base": contest.found, "steps": {str(steps): compared(contest, steps, seeds) for steps in STEPS}}


if __name__ == "__main__":
    count = int(sys.argv[3]) if len(sys.argv) > 3 else SEEDS
    write_json(Path(sys.argv[2]), measured(Path(sys.argv[1]), range(2, 2 + count)))
