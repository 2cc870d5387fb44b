"""GRPO: the loss is the paper's, equal groups teach nothing, sampling is seeded, a bad reward is named."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer

from components.core.errors import Stopped, UserError
from components.corpus.corpus import CorpusWriter
from components.finetuning_data.rows import Refused
from components.instruction_pairs.examples import PromptPair
from components.model.generate import at_shares, generate, sample
from components.params import Numerics, Reinforce
from components.stages.finetune import reinforcement
from components.stages.finetune.own_rows import choose_rows
from components.stages.finetune.reinforcement import (
    EncodedPrompt,
    GroupBatches,
    GRPOLoss,
    Sampler,
    advantages,
    batch_of,
)
from components.stages.finetune.rewards import Rewards
from components.synthetic import curriculum
from components.tokens.tokenizer import ASSISTANT, END, END_OF_TEXT, USER, Encoder, train_bpe
from tests.components.model.test_transformer import network
from tests.recorder import Recorder

PROMPTS = [[0, 4, 20, 5], [0, 4, 20, 5], [0, 4, 21, 22, 5], [0, 4, 21, 22, 5]]
MADE = [[30, 31, 6], [32, 6], [33, 6], [34, 35, 36]]
ASKED = [("1+1=", " 2", " 2"), ("1+2=", " 4", " 3")]


def test_advantages_are_standardised_within_the_group_and_zero_where_all_are_equal() -> None:
    found = advantages(torch.tensor([[1.0, 0.0, 0.0, 1.0], [0.1, 0.1, 0.1, 0.1]], dtype=torch.float64))
    root = 0.75**0.5  # 0.5 over the deviation of a sample, the root of 4 * 0.25 / 3
    torch.testing.assert_close(found[0], torch.tensor([root, -root, -root, root]))
    assert found[1].tolist() == [0.0] * 4  # the mean of .1s is not .1
    sums = [[0.1 + 0.2, 0.3, 0.3, 0.3], [0.3, 0.3, 0.1 + 0.2, 0.1 + 0.2], [0.0, 1e-12, 0.0, 0.0]]
    sums_found = advantages(torch.tensor(sums, dtype=torch.float64))
    assert sums_found[:2].tolist() == [[0.0] * 4] * 2  # equal but for the order in which parts were added
    assert sums_found[2].amax() > 1  # small, and different


def test_the_loss_is_that_of_the_paper() -> None:
    clip, weight, temperature, model = 0.1, 0.5, 0.8, network()
    batch = batch_of(PROMPTS, MADE)
    shape, generator = batch.targets.shape, torch.Generator().manual_seed(3)
    advantage = torch.tensor([1.5, -0.5, 0.0, -1.0])
    now = reinforcement.token_log_probabilities(model, batch.ids_BT, batch.targets, temperature).detach()
    sampled, reference = (now + 0.3 * torch.randn(shape, generator=generator) for _ in range(2))
    total = torch.zeros(())
    for row, (prompt, made) in enumerate(zip(PROMPTS, MADE, strict=True)):
        logits = model(torch.tensor([[*prompt, *made]]))[0, len(prompt) - 1 : -1] / temperature
        terms = []
        for place, (token, logit) in enumerate(zip(made, logits, strict=True)):
            logp, at = logit.log_softmax(-1)[token], len(prompt) - 1 + place
            ratio, behind = (logp - sampled[row, at]).exp(), reference[row, at] - logp
            gain = min(ratio * advantage[row], ratio.clamp(1 - clip, 1 + clip) * advantage[row])
            terms.append(weight * (behind.exp() - behind - 1) - gain)
        total = total + sum(terms) / len(terms)
    whole = reinforcement.GroupBatch(batch.ids_BT, batch.targets, None, advantage, sampled, reference)
    ours = GRPOLoss(clip, weight, temperature)(model, whole)
    torch.testing.assert_close(ours, total, rtol=1e-5, atol=1e-5)
    gradients = [torch.autograd.grad(loss, list(model.parameters())) for loss in (ours, total)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    parts = [GRPOLoss(clip, weight, temperature)(model, whole.slice(*ends)) for ends in ((0, 1), (1, 4))]
    torch.testing.assert_close(sum(parts), total, rtol=1e-5, atol=1e-5)


def test_sampling_is_seeded_and_greedy_is_what_generate_writes() -> None:
    model, prompts = network(), [[0, 4, 20, 5], [0, 4, 21, 22, 5], [0, 4, 23, 5]]
    common = {"max_tokens": 6, "stop_ids": (6, 7)}
    one, again, other = (
        sample(model, prompts, 8, temperature=1.0, seeds=range(seed, seed + 3), **common) for seed in (1, 1, 4)
    )
    assert one == again != other
    assert sample(model, prompts[1:], 8, temperature=1.0, seeds=[2, 3], **common) == one[8:]  # whatever is beside it
    assert len(one) == 24
    assert all(len(ids) == 6 or ids[-1] in (6, 7) for ids in one)
    assert not any(set(ids[:-1]) & {6, 7} for ids in one)
    tokenizer = Tokenizer.from_str(train_bpe([Path(curriculum.__file__).read_text()], 400).to_str())
    for prompt, ids in zip(prompts, sample(model, prompts, 1, **common), strict=True):
        assert ids == generate(model, tokenizer, prompt, **common)[1]


def test_tokens_are_drawn_by_their_probability() -> None:
    probability_RV = torch.tensor([[0.5, 0.0, 0.3, 0.2, 0.0]]).expand(6, 5)
    share_R = torch.tensor([0.0, 0.4999, 0.5, 0.7999, 0.8001, 1 - 2**-53], dtype=torch.float64)
    assert at_shares(probability_RV, share_R).tolist() == [0, 0, 2, 2, 3, 3]
    model, count = network(), 4000
    made = sample(model, [[0, 4, 20, 5]], count, max_tokens=1, temperature=2.0, seeds=[1], stop_ids=())
    likely_V = (model(torch.tensor([[0, 4, 20, 5]]))[0, -1] / 2.0).softmax(-1)
    seen_V = torch.bincount(torch.tensor(made)[:, 0], minlength=len(likely_V))
    assert seen_V[likely_V.argmax()] > 2 * count / len(likely_V)  # not all alike
    assert float(((seen_V - count * likely_V.detach()) ** 2 / (count * likely_V.detach())).sum()) < 1.3 * len(likely_V)


def test_completions_are_those_of_the_step_and_found_again(tmp_path: Path) -> None:
    model, tokenizer = network(), Tokenizer.from_str(train_bpe([Path(curriculum.__file__).read_text()], 400).to_str())
    pairs = [PromptPair(f"{n}", " 1" if n % 2 else "no such", f"{n}") for n in range(4)]
    problems = [EncodedPrompt([0, 4, 20 + n, 5], pair) for n, pair in enumerate(pairs)]
    params = Reinforce(batch=4, group=3, max_tokens=5, updates=2, data="x", base="y")
    told = Recorder()
    with Rewards(tmp_path) as rewards:
        batches = GroupBatches(
            model, problems, Sampler(tokenizer, (6,), rewards, 5), params, Numerics(), tmp_path / "a", told
        )
        first = batches(0)
        with torch.no_grad():
            model.head_weight.mul_(2)
        assert torch.equal(batches(1).ids_BT, first.ids_BT)
        torch.testing.assert_close(first.sampled_RT, first.reference_RT)
        later = batches(2)
    assert not torch.equal(later.ids_BT[:, :8], first.ids_BT[:, :8])
    assert not torch.allclose(later.sampled_RT, later.reference_RT)
    history = batches.history(3)
    assert [row["step"] for row in history] == [1, 3]
    assert history[0]["equal_groups"] == 1.0  # a network of random weights is never right
    assert not first.advantage_R.any()
    assert history[0]["kl_nats"] == 0.0 < history[1]["kl_nats"]


@dataclass
class Rewarded:
    """A sampler of two completions a prompt, unequal in reward only for the prompts that are `mixed`."""

    mixed: set[int]
    sampled: list[list[int]] = field(default_factory=list)

    def ids(self, model: Any, problems: Any, times: int, *_: Any) -> list[list[int]]:
        self.sampled.append([one.ids[2] for one in problems])
        return [[one.ids[2], 30 + number] for one in problems for number in range(times)]

    def rewarded(self, problems: Any, made: list[list[int]], times: int) -> list[float]:
        return [float(number - 30 if place in self.mixed else 1) for place, number in made]


@pytest.mark.parametrize(
    ("resamples", "mixed", "samplings", "unequal"),
    [(0, {20, 21}, 1, None), (3, set(range(20, 28)), 1, 4), (3, set(), 1, 0), (9, {20, 21, 24, 26}, None, 4)],
)
def test_groups_that_teach_nothing_are_replaced_by_ones_that_do(
    resamples: int, mixed: set[int], samplings: int | None, unequal: int | None, tmp_path: Path
) -> None:
    problems = [EncodedPrompt([0, 4, 20 + n, 5], PromptPair(f"{n}", "1", f"{n}")) for n in range(8)]
    params = Reinforce(batch=4, group=2, updates=1, resamples=resamples, data="x", base="y")
    sampler: Any = Rewarded(mixed)
    batches = GroupBatches(network(), problems, sampler, params, Numerics(), tmp_path, Recorder())
    batch, again = batches(0), batches(0)
    taught = batch.advantage_R.view(4, 2).abs().amax(1) > 0
    prompts = batch.ids_BT[::2, 2]
    assert [int(prompt) in mixed for prompt in prompts] == taught.tolist() == sorted(taught.tolist(), reverse=True)
    assert samplings in (None, len(sampler.sampled))
    assert unequal in (None, int(taught.sum()))
    assert torch.equal(batch.ids_BT, again.ids_BT)  # found again, not sampled again
    sampled = [prompt for one in sampler.sampled for prompt in one]
    assert batches.history(1)[0]["equal_groups"] == sum(one not in mixed for one in sampled) / len(sampled)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("raise ValueError('no')", "raises ValueError: no, for the prompt '1\\+1=' with the completion ' 2'"),
        ("return float('nan')", "is nan, and not within 1e\\+30 of 0, for the prompt '1\\+1='"),
        (
            "return float('inf') if completion == ' 4' else 1",
            "is inf, and not within 1e\\+30 of 0, for the prompt '1\\+2='",
        ),
        ("return 1e160", "is 1e\\+160, and not within 1e\\+30 of 0, for the prompt '1\\+1='"),
        ("return 'good'", "is no number but str; return a float, for the prompt '1\\+1='"),
        ("import numpy; return numpy.zeros(1)", "is no number but ndarray; return a float"),
        ("import random; return random.random()", "not the same when asked twice"),
        ("seen.append(1); return len(seen)", "not the same when asked twice"),
        ("import os; os._exit(1)", "ended its process, for the prompt '1\\+1='"),
        ("while True: pass", "takes more than 0.5 s, for the prompt '1\\+1='"),
    ],
)
def test_a_reward_that_does_not_hold_is_named(
    body: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("components.stages.finetune.rewards.LIMIT_S", 0.5 if "True" in body else 60.0)
    (tmp_path / "reward.py").write_text(f"seen = []\ndef reward(prompt, completion, answer):\n    {body}\n")
    with Rewards(tmp_path) as rewards, pytest.raises(UserError, match=says):
        rewards.check(ASKED)


def test_a_check_of_rewards_is_stopped_between_two_completions(tmp_path: Path) -> None:
    """Of a slow function it takes minutes, and a stop was heeded after it and a step of training."""
    (tmp_path / "reward.py").write_text("def reward(prompt, completion, answer):\n    return 1\n")
    asked = iter([None, Stopped("Cancelled", "enough")])

    def raise_if_stopped() -> None:
        if stop := next(asked):
            raise stop

    with Rewards(tmp_path) as rewards, pytest.raises(Stopped, match="enough"):
        rewards.check(ASKED, raise_if_stopped)


def test_a_reward_of_ones_own_and_the_one_that_ships(tmp_path: Path) -> None:
    with Rewards(tmp_path) as rewards:
        assert rewards([*ASKED, ("steps: 4+8;", " 4+8=12= 12", " 12"), ("", " 12 or so", " 12")]) == [1, 0, 1, 0]
    (tmp_path / "marks.py").write_text("MOST = 2\n")
    (tmp_path / "reward.py").write_text(
        "import marks\ndef reward(prompt, completion, answer):\n    print('hello')\n"
        "    return marks.MOST - len({completion, answer})\n"
    )
    with Rewards(tmp_path) as rewards:
        rewards.check(ASKED)
        assert rewards(ASKED) == [1.0, 0.0]
    (tmp_path / "reward.py").write_text("def rewards(): ...\n")
    with (
        Rewards(tmp_path) as rewards,
        pytest.raises(UserError, match=r"cannot be loaded .*reward.*correct the function"),
    ):
        rewards(ASKED)


def test_a_reward_process_that_has_died_meanwhile_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "of_mine.py").write_text("VALUE = 1.0\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"))
    (tmp_path / "reward.py").write_text(
        "import of_mine\ndef reward(prompt, completion, answer):\n    return of_mine.VALUE\n"
    )
    with Rewards(tmp_path) as rewards:
        assert rewards(ASKED) == [1.0, 1.0]
        assert rewards._process
        rewards._process.kill()
        rewards._process.wait()
        with pytest.raises(UserError, match=r"reward ended its process, for the prompt .*; correct the function"):
            rewards(ASKED)


def test_rows_and_problems_that_teach_nothing_are_refused(tmp_path: Path) -> None:
    encoder, words = Encoder(train_bpe([Path(curriculum.__file__).read_text()], 400).to_str()), ["a", "b", "c", "d"]
    refused: list[Refused] = []
    [problem] = reinforcement.encoded(
        [PromptPair("Why?", "So.", "a"), PromptPair("Why " * 40, "So.", "b"), PromptPair("Why?", "So " * 9, "c")],
        encoder, 24, 4, refused, is_exact=True,
    )  # fmt: skip
    assert problem.ids == [END_OF_TEXT, USER, *encoder.encode("Why?"), ASSISTANT]
    reasons = [("b", "longer than the context"), ("c", "answer longer than a completion")]
    assert [(one.where, one.reason) for one in refused] == reasons
    assert refused[0].detail.endswith("and finetune.reinforce.max_tokens leaves 20 of the context's 24")
    assert refused[1].detail.endswith("and finetune.reinforce.max_tokens allows 4: it is never right")
    long = [PromptPair("Why?", "So " * 9, "c")]
    assert reinforcement.encoded(long, encoder, 24, 4, [], is_exact=False)  # a user's reward may want no such answer
    tokenizer = Tokenizer.from_str(train_bpe([Path(curriculum.__file__).read_text()], 400).to_str())
    sampler = Sampler(tokenizer, (END,), Rewards(tmp_path), 4)
    for problems, says in (([], "1 x longer than the context"), ([problem, problem], "all rows are the same")):
        with pytest.raises(UserError, match=says):
            reinforcement.check(tmp_path, sampler, network(), problems, [problem], refused, lambda: None)
    with CorpusWriter(tmp_path / "heldout"):
        pass
    with pytest.raises(UserError, match=r"finetune.reinforce.data = .* holds no curriculum \(recall, arithmetic\)"):
        reinforcement.curriculum_problems(tmp_path / "heldout", Reinforce(data="x", base="y"))
    rows = [{"prompt": f"{words[n % 4]} {n} {n * 7}?", "completion": f"{n}"} for n in range(40)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    examples = choose_rows("reinforce", tmp_path, tmp_path / "heldout", encoder, Reinforce(data="x", base="y")).examples
    assert len(examples.train) + len(examples.heldout) == 40
    assert {pair.answer for pair in examples.train} < {f"{n}" for n in range(40)}  # type: ignore[union-attr]
