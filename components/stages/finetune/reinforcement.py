"""Reinforcement learning by GRPO (Shao et al. 2024, arXiv:2402.03300): sampled completions, rewards, loss, scores.

Of each prompt a group of G completions is sampled and rewarded. A completion's advantage is its reward less the
group's mean, over the group's standard deviation (of a sample, G - 1, as in trl); a group with equal rewards has none.

    loss = mean over completions of the mean over its tokens of
           -min(r A, clip(r, 1 - clip, 1 + clip) A) + kl_weight (p_ref/p - log(p_ref/p) - 1),      r = p / p_sampled

So tokens are averaged within each completion first, as in the paper's equation 3 (trl's `loss_type="grpo"`, and
`use_bias_correction_kl=False`: the divergence is not weighed by r). p_ref is the model before tuning. The completions
of a step are written down when they are sampled: they depend on the weights of that step and on the seed, so a killed
run finds or makes the same ones. Several processes share the prompts out, with the random numbers that one would use.
Groups with equal rewards are replaced by others that are sampled in addition, as far as those have unequal ones
(dynamic sampling: Yu et al. 2025, arXiv:2503.14476).

Legend: P prompts, G completions of each, R rows (P G), T positions.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

from components.core.errors import UserError
from components.core.progress import Progress
from components.finetuning_data.chat import encode
from components.finetuning_data.rows import Message, Refused, refuse_empty
from components.instruction_pairs.examples import PromptPair
from components.model import export, generate
from components.model.transformer import Transformer
from components.params import Finetune, Numerics, Reinforce
from components.stages.finetune import curriculum_task
from components.stages.finetune.instruct import neighbours, widened
from components.stages.finetune.preferences import token_log_probabilities
from components.stages.finetune.rewards import Rewards
from components.stages.finetune.task_selection import Choice
from components.synthetic.curriculum import REWARDED
from components.tokens.hub_encoder import AnyEncoder
from components.training import numerics as floats
from components.training import objectives
from components.training.data_order import mixed
from components.training.data_parallel import SINGLE, ProcessGroup
from components.training.objectives import IGNORE, Batch

CHECKED = 32
"""Completions on which a reward is tried before training."""
ROUNDING = 1e-9
"""Rewards that differ by this share of the largest are sums of the same parts in another order."""
STEP = 16
"""Rows are padded to a multiple of this."""
FIGURES = ("reward", "equal_groups", "kl_nats", "completion_tokens")
"""Of each sampling: mean reward, share of groups with equal rewards, mean divergence of a token, mean length."""


def curriculum_problems(path: Path, params: Finetune) -> Choice:
    """Sums and lists to recall from, with what is to be found at the end of a completion."""

    def problem(one: Any, where: str) -> PromptPair:
        return PromptPair(one.prompt, one.final, where)

    return curriculum_task.draw("reinforce", path, params, REWARDED, "an answer that ends rightly", problem)


@dataclass(frozen=True)
class EncodedPrompt:
    """A prompt as ids, and as the reward sees it."""

    ids: list[int]
    pair: PromptPair

    def __len__(self) -> int:
        return len(self.ids)


Prompts = Sequence[EncodedPrompt]


def encoded(
    pairs: Sequence[Any], encoder: AnyEncoder, context: int, max_tokens: int, refused: list[Refused],
    *, is_exact: bool,
) -> list[EncodedPrompt]:  # fmt: skip
    """Problems that leave room for `max_tokens` ids in the context; the others are added to `refused`.

    Where the reward is that a completion `is_exact`, so are those whose answer has more ids.
    """
    found, room = [], max(0, context - max_tokens)
    for pair in pairs:
        messages = [*(Message(*message) for message in pair.history), Message("user", pair.prompt)]
        ids, _ = encode(messages, encoder, ask=True)
        if len(ids) > room:
            detail = f"{len(ids)} tokens, and finetune.reinforce.max_tokens leaves {room} of the context's {context}"
            refused.append(Refused(pair.where or pair.cluster, "longer than the context", detail))
        elif is_exact and (most := len(encoder.encode(pair.answer))) > max_tokens:
            detail = f"{most} tokens, and finetune.reinforce.max_tokens allows {max_tokens}: it is never right"
            refused.append(Refused(pair.where or pair.cluster, "answer longer than a completion", detail))
        else:
            found.append(EncodedPrompt(ids, pair))
    return found


@dataclass
class Sampler:
    """Completions of a model and their rewards."""

    tokenizer: Tokenizer
    stops: tuple[int, ...]
    rewards: Rewards
    max_tokens: int

    def ids(
        self, model: Transformer, problems: Prompts, times: int = 1, temperature: float = 0.0, seeds: Sequence[int] = ()
    ) -> list[list[int]]:
        """Ids of `times` completions of each problem (greedy at temperature 0); a seed for each."""
        return generate.sample(model, [one.ids for one in problems], times, max_tokens=self.max_tokens,
                               temperature=temperature, seeds=seeds, stop_ids=self.stops)  # fmt: skip

    def greedy(self, model: Transformer, problems: Prompts) -> tuple[list[str], list[float]]:
        """Texts and rewards of the likeliest completion of each problem."""
        texts = self.texts(self.ids(model, problems))
        return texts, self.rewards(self.asked(problems, texts))

    def rewarded(self, problems: Prompts, made: Sequence[Sequence[int]], times: int = 1) -> list[float]:
        """Rewards of completions, `times` of each problem."""
        return self.rewards(self.asked(problems, self.texts(made), times))

    def texts(self, made: Sequence[Sequence[int]]) -> list[str]:
        """Completions as the reward sees them."""
        return [self.tokenizer.decode([id for id in ids if id not in self.stops], skip_special_tokens=False)
                for ids in made]  # fmt: skip

    @staticmethod
    def asked(problems: Prompts, texts: Sequence[str], times: int = 1) -> list[tuple[str, str, str]]:
        """What the reward is asked."""
        pairs = [one.pair for one in problems for _ in range(times)]
        return [(pair.prompt, text, pair.answer) for pair, text in zip(pairs, texts, strict=True)]


def check(
    path: Path, sampler: Sampler, model: Transformer, problems: Prompts, tested: Prompts, refused: list[Refused],
    raise_if_stopped: Callable[[], None],
) -> None:  # fmt: skip
    """Refuse, before training, problems that teach nothing and rewards that do not hold.

    Raises:
        UserError: none is left, all are the same, or the reward fails on right answers, on none, or on what the model
            writes.
        Stopped: as `raise_if_stopped` does, which is asked between rewards.
    """
    refuse_empty(path, problems and tested, refused)
    if len({(one.pair.prompt, one.pair.answer) for one in problems}) == 1:
        raise UserError(f"finetune.reinforce.data = {path}: all rows are the same; give different ones")
    if sampler.rewards.path:
        tried = problems[:: max(1, len(problems) // CHECKED)][:CHECKED]
        answers, none = [one.pair.answer for one in tried], [""] * len(tried)
        written, _ = sampler.greedy(model, tried)
        asked = [row for texts in (answers, none, written) for row in sampler.asked(tried, texts)]
        sampler.rewards.check(asked, raise_if_stopped)


# -- training ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GroupBatch(Batch):
    """Completions with their advantages, and log-probabilities of their tokens when sampled and before tuning."""

    advantage_R: Tensor = field(default_factory=lambda: torch.zeros(0))
    sampled_RT: Tensor = field(default_factory=lambda: torch.zeros(0))
    reference_RT: Tensor = field(default_factory=lambda: torch.zeros(0))

    @property
    def num_targets(self) -> int:
        """A completion is the unit of the loss."""
        return len(self.ids_BT)

    def slice(self, start: int, stop: int) -> "GroupBatch":
        """Completions `start` to `stop`."""
        return GroupBatch(**{name: tensor[start:stop] for name, tensor in self.tensors().items()})

    def to(self, device: str) -> "GroupBatch":
        return GroupBatch(**{name: tensor.to(device) for name, tensor in self.tensors().items()})

    def tensors(self) -> dict[str, Tensor]:
        """All fields by name."""
        return {name: value for name, value in vars(self).items() if value is not None}


def advantages(reward_PG: Tensor) -> Tensor:
    """Rewards of groups as advantages; 0 where all are `equal`: float32 (P, G)."""
    centred_PG = reward_PG - reward_PG.mean(1, keepdim=True)
    return torch.where(equal(reward_PG)[:, None], 0.0, centred_PG / reward_PG.std(1, keepdim=True)).float()


def equal(reward_PG: Tensor) -> Tensor:
    """Which groups have rewards that are equal but for rounding, and so teach nothing: bool (P,)."""
    return reward_PG.amax(1) - reward_PG.amin(1) <= ROUNDING * reward_PG.abs().amax(1)


@dataclass(frozen=True)
class GRPOLoss:
    """The loss of the module docstring, summed over the completions of a batch."""

    clip: float
    kl_weight: float
    temperature: float = 1.0

    def __call__(self, model: Any, batch: GroupBatch) -> Tensor:
        logp_RT = token_log_probabilities(model, batch.ids_BT, batch.targets, self.temperature)
        inside_RT, advantage_R1 = batch.targets != IGNORE, batch.advantage_R[:, None]
        ratio_RT = (logp_RT - batch.sampled_RT).exp()
        clipped_RT = ratio_RT.clamp(1 - self.clip, 1 + self.clip)
        gain_RT = torch.minimum(ratio_RT * advantage_R1, clipped_RT * advantage_R1)
        loss_RT = self.kl_weight * divergence(logp_RT, batch.reference_RT) - gain_RT
        return ((loss_RT * inside_RT).sum(1) / inside_RT.sum(1)).sum()


def divergence(logp_RT: Tensor, reference_RT: Tensor) -> Tensor:
    """Schulman's unbiased, never negative estimate of the divergence from the reference at each token."""
    behind_RT = reference_RT - logp_RT
    return behind_RT.exp() - behind_RT - 1


@dataclass
class GroupBatches:
    """The n-th training batch: completions that the model samples when it is at that step, or that are in `folder`.

    Attributes:
        problems: sorted by length: those of a batch are of similar length, and are continued together.
        folder: of this run alone, and kept when it is killed; holds a file of every sampling.
        group: the processes that sample, each its part; the main one rewards and writes.
    """

    model: Transformer
    problems: Prompts
    sampler: Sampler
    params: Reinforce
    numerics: Numerics
    folder: Path
    progress: Progress
    group: ProcessGroup = SINGLE

    def __post_init__(self) -> None:
        self.reference = copy.deepcopy(self.model).requires_grad_(False)

    def __call__(self, number: int) -> GroupBatch:
        sampling, update = divmod(number, self.params.updates)
        path = self.folder / f"{sampling:06d}.safetensors"
        if self.group.broadcast(int(path.exists())):
            tensors = load_file(path)
        else:
            tensors = self._sampled(sampling)
            if self.group.is_main:
                self.folder.mkdir(parents=True, exist_ok=True)
                export.save_tensors(tensors, path)
        figures = dict(zip(FIGURES, tensors.pop("figures").tolist(), strict=True))
        if not update:
            self.progress.log_metrics(number + 1, figures)
        return GroupBatch(**tensors)

    def _groups(self, sampling: int) -> tuple[list[list[int]], list[list[int]], Tensor]:
        """Prompt and completion ids by row, and rewards (P, G), of as many groups as were sampled: a batch or more."""
        params = self.params
        prompts: list[list[int]] = []
        made: list[list[int]] = []
        reward_PG = torch.zeros(0, params.group, dtype=torch.float64)
        for attempt in range(1 + params.resamples):
            seed = mixed(attempt, params.seed) if attempt else params.seed
            chosen = [self.problems[i] for i in neighbours(sampling, params.batch, len(self.problems), seed)]
            ids, rewards = self._completions(chosen, mixed(sampling, seed))
            prompts, made = prompts + [one.ids for one in chosen for _ in range(params.group)], made + ids
            found_PG = torch.tensor(rewards, dtype=torch.float64).view(-1, params.group)
            reward_PG = torch.cat([reward_PG, found_PG])
            if int((~equal(reward_PG)).sum()) >= params.batch or bool(equal(found_PG).all()):
                break
        return prompts, made, reward_PG

    def _completions(self, chosen: Prompts, seed: int) -> tuple[list[list[int]], list[float]]:
        """Ids and rewards of a group of completions of each prompt, which the processes share out."""
        params, own = self.params, self.group.part_of(len(chosen))
        seeds = [mixed(place, seed) for place in range(len(chosen))][own]
        ids = self.group.gather(self.sampler.ids(self.model, chosen[own], params.group, params.temperature, seeds))
        rewards: list[float] = []  # of the main process alone: a user's function runs once
        self.group.on_main(lambda: rewards.extend(self.sampler.rewarded(chosen, ids, params.group)))
        return ids, self.group.gather(rewards)

    def _sampled(self, sampling: int) -> dict[str, Tensor]:
        params = self.params
        prompts, made, all_PG = self._groups(sampling)
        kept_P = torch.argsort(equal(all_PG).int(), stable=True)[: params.batch]
        reward_PG = all_PG[kept_P]
        rows = [int(group) * params.group + one for group in kept_P for one in range(params.group)]
        batch = batch_of([prompts[row] for row in rows], [made[row] for row in rows])
        own = self.group.slice_of(batch).to(str(next(self.model.parameters()).device))
        with torch.no_grad(), floats.autocast(self.numerics):
            parts = [
                token_log_probabilities(model, own.ids_BT, own.targets, params.temperature).cpu()
                for model in (self.model, self.reference)
            ]
        sampled_RT, reference_RT = (torch.cat(self.group.gather([part_RT])) for part_RT in parts)
        divergence_RT = divergence(sampled_RT, reference_RT)[batch.targets != IGNORE]
        figures = (all_PG.mean(), equal(all_PG).double().mean(), divergence_RT.mean(),
                   sum(map(len, made)) / len(made))  # fmt: skip
        found = replace(batch, advantage_R=advantages(reward_PG).flatten(), sampled_RT=sampled_RT,
                        reference_RT=reference_RT)  # fmt: skip
        return found.tensors() | {"figures": torch.tensor([float(value) for value in figures], dtype=torch.float64)}

    def history(self, steps: int) -> list[dict[str, float]]:
        """`FIGURES` of every sampling, with the step that it was first used in."""
        found = []
        for path in sorted(self.folder.glob("*.safetensors")):
            step = int(path.stem) * self.params.updates + 1
            if step <= steps:
                found.append({"step": step} | dict(zip(FIGURES, load_file(path)["figures"].tolist(), strict=True)))
        return found


def batch_of(prompts: Sequence[Sequence[int]], made: Sequence[Sequence[int]]) -> GroupBatch:
    """Prompts with their completions, the targets; without advantages and log-probabilities."""
    pairs = list(zip(prompts, made, strict=True))
    longest = max(len(prompt) + len(answer) for prompt, answer in pairs) - 1
    batch = widened(objectives.sft(pairs, longest), STEP)
    return GroupBatch(batch.ids_BT, batch.targets)
