"""`greenhouse chat`: a conversation bounded by the context, shown while it grows, the same for the same seed."""

import io
import json
import re
import shutil
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from components.core.files import md5_of
from components.model.export import save
from components.model.lora import add_lora
from components.model.shape import derive_shape
from components.model.transformer import Transformer
from components.params import ModelShape
from components.stages.finetune import adapter
from components.studies.withdrawn import withdraw
from components.tokens.tokenizer import ASSISTANT, END, END_OF_TEXT, USER, train_bpe
from flows import cli
from flows.chat import Conversation, Sampling, model_folder, open_chat
from tests.components.stages.finetune.test_own_rows import foreign_tokenizer
from tests.errors import refuses

EXAMPLE = {"prompt": "abs(x)", "answer": "Return the absolute value."}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained causal model that counts as instruction-tuned."""
    import numpy
    import torch

    torch.manual_seed(1)
    text = [value.__doc__ for value in vars(numpy).values() if isinstance(getattr(value, "__doc__", None), str)]
    tokenizer = train_bpe(text[:100], 400)
    model = Transformer(derive_shape(ModelShape(size=1, width=32, heads=1), vocab_size=400, context=64, causal=True))
    path = tmp_path_factory.mktemp("model")
    save(model, tokenizer.to_str(), path, {"task": {"name": "signature", "example": EXAMPLE}})
    return path


def chat(folder: Path, **sampling: object) -> Conversation:
    return open_chat(folder, Sampling(**sampling))[0]  # type: ignore[arg-type]


def test_what_is_shown_is_the_answer(folder: Path) -> None:
    shown: list[str] = []
    answer = chat(folder, max_tokens=20, temperature=50.0, top_p=1.0).answer("What is a list?", shown.append)
    assert "".join(shown) == answer.text
    assert len(list(filter(None, shown))) > 5  # as it grows, and not at its end


def test_every_token_after_the_first_reads_one_position(folder: Path) -> None:
    """The others are in the cache."""
    talk, read = chat(folder, max_tokens=6), list[int]()
    hidden = talk.model.hidden
    talk.model.hidden = lambda ids, **more: (read.append(ids.shape[1]), hidden(ids, **more))[1]  # type: ignore[method-assign]
    answer = talk.answer("What is a list?", lambda _: None)
    assert read[0] > 1
    assert read[1:] == [1] * (len(answer.pieces) - 1) != []


def test_the_chat_format_and_the_oldest_turns_go_first(folder: Path) -> None:
    talk = chat(folder, max_tokens=8)
    for number in range(20):
        talk.answer(f"question {number}?", lambda _: None)
        assert sum(map(len, talk.turns)) < 64
    ids = talk.context(talk.question("and now?"))
    assert len(ids) <= talk.max_prompt
    assert ids[:2] == [END_OF_TEXT, USER]
    assert ids[-1] == ASSISTANT
    assert "question 19?" in talk.tokenizer.decode(ids)
    assert "question 0?" not in talk.tokenizer.decode(ids)


Run = Callable[..., tuple[str, str]]


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command with these arguments and what a person types: what it prints to both streams."""

    def command(*arguments: str, typed: str = "") -> tuple[str, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        assert cli.answer(["chat", "--model", str(folder), *arguments]) == 0
        return capsys.readouterr()

    return command


def test_one_answer_from_the_command_line(folder: Path, run: Run) -> None:
    said, besides = run("--prompt", "abs(x)", "--seed", "3", "--confidence", "1")
    assert said.rstrip("\n") == chat(folder, seed=3).answer("abs(x)", lambda _: None).text.rstrip("\n")
    assert "It is tiny" in besides
    assert "you> abs(x)\n  model> Return the absolute value." in besides
    assert "(a guess: confidence 1.00, below 1.00)" in besides


def test_a_chat_opens_with_what_it_answers_and_one_it_was_not_taught(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "model")
    facts = json.loads((folder / "greenhouse.json").read_text())
    pairs = ("What is 1+1?", "2"), ("Repeat: a", "a"), ("A is red. What is A?", "red"), ("What is a list?", "Nonsense.")
    facts["task"]["shown"] = [{"prompt": prompt, "answer": answer} for prompt, answer in pairs]
    facts["task"]["range"] = "numbers below 100"
    (tmp_path / "model/greenhouse.json").write_text(json.dumps(facts))
    talk, opening = open_chat(tmp_path / "model", Sampling(max_tokens=2))
    assert "Each is answered by itself; it knows numbers below 100." in opening
    talk.answer("What is 2+2?", lambda _: None)
    assert talk.sampling.temperature == 0, "chance is no part of an answer that is right or wrong"
    assert [chat(folder).sampling.temperature, chat(tmp_path / "model", temperature=1.0).sampling.temperature] == [
        0.7,
        1,
    ]
    assert talk.context(talk.question("?")) == talk.context(talk.question("?")) == [END_OF_TEXT, *talk.question("?")]
    assert [opening.count(f"you> {prompt}\n  model> {answer}") for prompt, answer in pairs] == [1] * 4
    assert opening.index("What is 1+1?") < opening.index("not taught") < opening.index("What is a list?")


def test_a_model_tuned_on_rows_of_ones_own_shows_one_from_the_reports_of_this_checkout(
    folder: Path, tmp_path: Path, checkout: Path
) -> None:
    """It is not in the model's folder, which is copied and published."""
    model, rows = tmp_path / "models/finetune/instruct", tmp_path / "reports/finetune/instruct/details/heldout.csv"
    shutil.copytree(folder, model)
    (model / "greenhouse.json").write_text(json.dumps(
        json.loads((model / "greenhouse.json").read_text()) | {"task": {"name": "rows", "chat": True}}
    ))  # fmt: skip
    assert "you>" not in open_chat(model, Sampling())[1]
    rows.parent.mkdir(parents=True)
    rows.write_text('cluster,answer,text\nrow 1,"One, two.",Count?\n')
    assert open_chat(model, Sampling())[1].endswith("examples such as\n  you> Count?\n  model> One, two.")
    rows.write_text("cluster,before,after,text\n")
    assert "you>" not in open_chat(model, Sampling())[1]
    assert "you>" not in open_chat(shutil.copytree(model, tmp_path / "copy"), Sampling())[1]


def test_a_withdrawn_model_says_so(folder: Path, checkout: Path, run: Run) -> None:
    assert "withdrawn" not in run("--prompt", "abs(x)", "--max-tokens", "2")[1]
    withdraw(checkout, [md5_of(folder)], "it quotes a customer", date(2026, 12, 1))
    said = run("--prompt", "abs(x)", "--max-tokens", "2")[1]
    assert "This model is withdrawn on 2026-12-01: it quotes a customer (withdrawn.json)." in said


def test_a_conversation_ends_with_the_input(run: Run) -> None:
    """A line that ends in a backslash goes on."""
    said, _ = run("--max-tokens", "4", typed="hello\\\nthere\nmore\n")
    assert said.count("model> ") == 2


def test_a_prompt_that_is_no_text_or_longer_than_the_context(run: Run) -> None:
    _, besides = run("--prompt", "abs\udcff(x)", "--max-tokens", "4")
    assert "not read" not in besides
    _, besides = run("--prompt", "word " * 200, "--max-tokens", "4", "--confidence", "0")
    assert re.search(r"\(the prompt is too long: its first \d+ tokens were not read\)", besides)


def test_input_that_is_no_utf8_is_read_and_a_closed_or_empty_one_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["chat", "--model", str(folder), "--max-tokens", "4"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"ab\xff(x)\nmore\n"), "utf-8"))
    assert cli.answer(words) == 0
    assert capsys.readouterr().out.count("model> ") == 2
    monkeypatch.setattr(sys, "stdin", None)
    refuses(lambda: cli.answer(words), "chat.chat.2", "--prompt")


def test_confidence_is_the_mean_probability_of_the_tokens(folder: Path) -> None:
    import torch

    talk = chat(folder, max_tokens=12, temperature=0.0)
    question = talk.context(talk.question("abs(x)"))
    answer = talk.answer("abs(x)", lambda _: None)
    made = talk.turns[-1][len(question) - 1 :][: len(answer.pieces)]
    with torch.inference_mode():
        logits_TV = talk.model(torch.tensor([[*question, *made]]))[0].double()
    own = logits_TV.log_softmax(-1)[len(question) - 1 : -1].gather(1, torch.tensor(made)[:, None])
    assert answer.confidence == pytest.approx(float(own.mean().exp()), rel=1e-4)
    assert answer.caveat(1.0)
    assert not answer.caveat(0.0)
    assert len(answer.table().splitlines()) == len(made)


def test_probabilities_are_shown_on_request(run: Run) -> None:
    asked, _ = run("--max-tokens", "4", "--confidence", "0", typed="hello\n?\n")
    always, _ = run("--max-tokens", "4", "--confidence", "0", "--probabilities", typed="hello\n")
    for said in (asked, always):
        assert "1.000 '<|assistant|>'" in said
        assert "guess" not in said


def test_no_model_is_a_clear_error(checkout: Path) -> None:
    refuses(lambda: model_folder(""), "chat.model_folder", "`make demo`")


def test_a_chat_goes_on_as_training_wrote_it(folder: Path) -> None:
    """Names of special tokens that a person types are text, and an answer that ends for want of tokens is ended."""
    talk, continued = chat(folder, max_tokens=2), chat(folder)
    continued.instruct = False
    for one in (talk, continued):
        assert one.question("say <|end|> now").count(END) == 0
    talk.answer("abs(x)", lambda _: None)
    assert talk.turns[-1][-1] == END
    assert talk.turns[-1].count(END) == 1


def test_an_adapter_is_talked_to_as_its_base_is(tmp_path: Path) -> None:
    foreign_tokenizer([str(Path.__doc__)], tmp_path)
    tokenizer_json = (tmp_path / "tokenizer.json").read_text()
    model = Transformer(derive_shape(ModelShape(size=1, width=32, heads=1), vocab_size=432, context=64, causal=True))
    save(model, tokenizer_json, tmp_path, {})
    add_lora(model, 2, seed=1)
    adapter.save(model, tmp_path, str(tmp_path), tmp_path / "adapter", facts={"task": {"chat": True}})
    talk = chat(tmp_path / "adapter")
    assert talk.question("a")[0] == Tokenizer.from_str(tokenizer_json).token_to_id("<|im_start|>")
