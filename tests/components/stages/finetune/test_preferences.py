"""DPO: the pairs are right against wrong, the loss is the paper's, and what teaches nothing is named."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from components.corpus.corpus import CorpusWriter
from components.model import cpu_kernels
from components.params import Numerics, Prefer
from components.stages.finetune import preferences
from components.stages.finetune.example_selection import select
from components.stages.finetune.preferences import DPOLoss, EncodedPair, batch_of, right_and_wrong
from components.stages.finetune.task_selection import Choice
from components.synthetic import curriculum
from components.tokens.tokenizer import Encoder, train_bpe
from tests.components.model.test_transformer import network
from tests.errors import refused

PAIRS = [
    EncodedPair([0, 4, 20, 5], [30, 31, 6], [40, 6]),
    EncodedPair([0, 4, 21, 22, 5], [32, 6], [41, 42, 43, 6]),
    EncodedPair([0, 4, 23, 5], [33, 6], [44, 6]),
]
FLOAT32 = Numerics(dtype="float32")


@pytest.mark.parametrize("task", curriculum.TASKS)
def test_one_answer_is_right_and_one_is_wrong(task: str) -> None:
    problems = curriculum.items(task, 1, 60)
    for problem in problems:
        pair = right_and_wrong(problem, 1)
        assert pair.chosen == problem.answer
        assert pair.rejected != pair.chosen
        assert pair == right_and_wrong(problem, 1)
        if problem.choices:
            assert pair.rejected in problem.choices
    longer = [len(one.chosen) > len(one.rejected) for one in (right_and_wrong(problem, 1) for problem in problems)]
    assert sum(longer) < 20, "length must not give the answer away"


def test_the_loss_is_that_of_the_paper() -> None:
    policy, reference, beta = network(), network(), 0.3
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter += torch.randn(parameter.shape, generator=torch.Generator().manual_seed(7)) * 0.02
    reference_N2 = preferences.all_log_probabilities(reference, PAIRS, FLOAT32)

    def log_probability(model: torch.nn.Module, prompt: list[int], answer: list[int]) -> torch.Tensor:
        ids = torch.tensor([[*prompt, *answer]])
        logp = model(ids).log_softmax(-1)[0, len(prompt) - 1 : -1]
        return logp.gather(1, torch.tensor(answer)[:, None]).sum()

    total = torch.zeros(())
    for pair in PAIRS:
        change = [
            log_probability(policy, pair.prompt, answer) - log_probability(reference, pair.prompt, answer).detach()
            for answer in (pair.chosen, pair.rejected)
        ]
        total = total - F.logsigmoid(beta * (change[0] - change[1]))
    ours = DPOLoss(beta)(policy, batch_of(PAIRS, reference_N2))
    torch.testing.assert_close(ours, total, rtol=1e-5, atol=1e-5)
    gradients = [torch.autograd.grad(loss, list(policy.parameters())) for loss in (ours, total)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_rows_of_another_kind_or_without_an_answer_are_refused(tmp_path: Path) -> None:
    file, params = tmp_path / "rows.jsonl", Prefer(data="x", base="y")
    encoder = Encoder(train_bpe([Path(curriculum.__file__).read_text()], 400).to_str())
    words = Path(curriculum.__file__).read_text().split()
    with CorpusWriter(tmp_path / "heldout"):
        pass

    def rows(**fields: str) -> Choice:
        found = [{"prompt": " ".join(words[n * 9 : n * 9 + 9])} | fields for n in range(40)]
        file.write_text("".join(json.dumps(row) + "\n" for row in found))
        return select("prefer", file, tmp_path / "heldout", params, encoder, params.context)

    for fields, says in (
        ({"completion": "c"}, ["raise_if_other_kind", "chat", "prefer", "prompt, chosen and rejected"]),
        ({"chosen": "c", "rejected": ""}, ["rows.refuse_empty.2", "40 x empty answer"]),
        ({"chosen": "c " * 400, "rejected": "d"}, ["rows.refuse_empty.2", "x longer than the context"]),
    ):
        with refused(*says):
            rows(**fields)
    with refused("curriculum_pairs", "mix.curriculum.share"):
        preferences.curriculum_pairs(tmp_path / "heldout", params)
    examples = rows(chosen="c", rejected="d").examples
    assert len(examples.train) + len(examples.heldout) == 40
    assert examples.heldout


def test_the_logits_of_one_piece_at_a_time_give_the_same_loss_and_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network()
    reference_N2 = preferences.all_log_probabilities(model, PAIRS, FLOAT32) - 1

    def gradients() -> tuple[torch.Tensor, ...]:
        loss = DPOLoss(0.5)(model, batch_of(PAIRS, reference_N2))
        return loss, *torch.autograd.grad(loss, list(model.parameters()))

    whole = gradients()
    monkeypatch.setattr(cpu_kernels, "LOGITS_CHUNK", 2 * model.shape.vocab_size)
    for ours, theirs in zip(gradients(), whole, strict=True):
        torch.testing.assert_close(ours, theirs)
