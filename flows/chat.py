"""`greenhouse chat`: talk to the model just made."""

import io
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, TextIO

from cyclopts import Parameter
from cyclopts.validators import Number

from components.core.errors import UserError
from components.core.files import md5_of
from components.core.plain_text import plain
from components.studies.withdrawn import withdrawals, withdrawn
from flows.system import paths
from flows.system.command import whole

CANDIDATES = ("models/finetune/instruct", "models/pretrain/causal")
"""Where a model is looked for, the better partner first."""
TEMPERATURE = 0.7
"""Of a model that continues text, or answers in its own words."""
LEAST_CONFIDENCE = 0.5
"""Below it the model would, at the average token, rather have said something else."""


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen (components/model/generate.py); without a temperature the model decides it."""

    max_tokens: int = 64
    temperature: float | None = None
    top_p: float = 0.9
    seed: int = 1


@dataclass(frozen=True)
class Answer:
    """An answer: its text, and of each of its tokens what it stands for and its probability under the model.

    `unread` counts the first tokens of a prompt that is longer than the context: the model did not see them.
    """

    text: str
    pieces: list[str]
    probabilities: list[float]
    unread: int = 0

    @property
    def confidence(self) -> float:
        """Geometric mean of the tokens' probabilities."""
        return math.exp(sum(map(math.log, self.probabilities)) / len(self.probabilities))

    def caveat(self, minimum: float) -> str:
        """Words if part of the prompt was not read, or the confidence is below `minimum`; else ""."""
        cut = f"the prompt is too long: its first {self.unread} tokens were not read" if self.unread else ""
        guess = f"a guess: confidence {self.confidence:.2f}, below {minimum:.2f}" if self.confidence < minimum else ""
        return "; ".join(filter(None, (cut, guess)))

    def table(self) -> str:
        """A line per token: its probability, and the token in quotes."""
        return "\n".join(f"{p:.3f} {piece!r}" for p, piece in zip(self.probabilities, self.pieces, strict=True))


@dataclass
class Conversation:
    """A model and the conversation with it so far.

    Attributes:
        instruct: whether the model knows the chat format; without it each turn simply continues the text.
        encoder: has the tokens around messages (`chat`), and those that end an answer (`stops`).
        turns: ids of each finished turn, question and answer.
        alone: whether each question is asked without those before, as in training: of a model taught questions.
    """

    model: Any
    tokenizer: Any
    instruct: bool
    sampling: Sampling
    encoder: Any
    turns: list[list[int]] = field(default_factory=list)
    alone: bool = False

    @property
    def max_prompt(self) -> int:
        """Tokens of the context that are left for the prompt."""
        return self.model.shape.context - min(self.sampling.max_tokens, self.model.shape.context // 2)

    def question(self, prompt: str) -> list[int]:
        """Ids of a prompt, up to where the answer begins; bytes that are not UTF-8 become replacement characters."""
        prompt = prompt.encode(errors="surrogateescape").decode(errors="replace")
        if not self.instruct:
            return list(self.encoder.encode(prompt))  # `<|end|>` in what is typed is text
        around = self.encoder.chat.around
        (before, after), (answer, _) = around["user"], around["assistant"]
        ids = self.encoder.encode(prompt.strip() if self.encoder.chat.strips else prompt)
        return [*before, *ids, *after, *answer]

    def context(self, question: list[int]) -> list[int]:
        """The prompt with as many of the latest turns before it as fit."""
        while self.turns and (self.alone or 1 + sum(map(len, self.turns)) + len(question) > self.max_prompt):
            self.turns.pop(0)
        return [*self.encoder.chat.begin, *(token for turn in self.turns for token in turn), *question]

    def answer(self, prompt: str, show: Callable[[str], None]) -> Answer:
        """Answer a prompt; `show` gets the text piece by piece while it grows."""
        from components.model.generate import generate

        question, ids, shown = self.question(prompt), list[int](), ""

        def grow(token: int) -> None:
            """Show what a token adds; an incomplete character waits for the rest of its bytes."""
            nonlocal shown
            ids.append(token)
            text = self.tokenizer.decode(ids)
            if text.startswith(shown) and not text.endswith("\N{REPLACEMENT CHARACTER}"):
                show(text[len(shown) :])
                shown = text

        _, tokens, logprobs = generate(
            self.model, self.tokenizer, self.context(question),
            max_tokens=min(self.sampling.max_tokens, self.model.shape.context - self.max_prompt),
            temperature=self.sampling.temperature or 0.0, top_p=self.sampling.top_p,
            seed=self.sampling.seed + len(self.turns), on_token=grow, stop_ids=self.encoder.stops,
        )  # fmt: skip
        text = self.tokenizer.decode(tokens)  # special tokens are nothing to show
        show(text[len(shown) :])
        ended = tokens and tokens[-1] in self.encoder.stops  # else by max_tokens, and a chat goes on after an end alone
        more = self.encoder.chat.around["assistant"][1][bool(ended) :] if self.instruct else ()
        self.turns.append([*question, *tokens, *more])
        pieces = [self.tokenizer.decode([token], skip_special_tokens=False) for token in tokens]
        unread = max(0, len(self.encoder.chat.begin) + len(question) - self.max_prompt)
        return Answer(text, pieces, [math.exp(value) for value in logprobs], unread)


def model_folder(given: str) -> Path:
    """The folder of the model to talk to. Raises `UserError`: there is none yet."""
    if given:
        return Path(given)
    for candidate in CANDIDATES:
        if (paths.ROOT / candidate / "model.safetensors").exists():
            return paths.ROOT / candidate
    raise UserError(f"no model yet in {' or '.join(CANDIDATES)}; run `make demo` first")


def open_chat(folder: Path, sampling: Sampling) -> tuple[Conversation, str]:
    """Load a model; also the sentence that says what it is.

    Raises `UserError`: no model there, or one that cannot write text.
    """
    from components.stages.finetune.adapter import base_of, load
    from components.tokens.hub_encoder import encoder_of

    model, tokenizer, facts = load(folder)
    if not model.shape.causal:
        raise UserError(f"{folder}: a masked model fills gaps and writes no text; take models/pretrain/causal")
    instruct = bool(facts.get("task"))
    shown_path = folder.relative_to(paths.ROOT) if folder.is_relative_to(paths.ROOT) else folder
    millions, context = model.num_parameters / 1e6, model.shape.context
    tuned, plain = "answers questions like those it was tuned on", "continues your text; it was not tuned to answer"
    kind = tuned if instruct else plain
    description = f"{shown_path}: {millions:.1f} million parameters, context {context} tokens. It is tiny: it {kind}."
    task = facts.get("task", {})
    if shown := task.get("shown"):
        *right, other = ("\n  you> {prompt}\n  model> {answer}".format(**one) for one in shown)
        description += f"\nIt was trained on questions of these forms, not on these, and is right:{''.join(right)}"
        description += f"\nEach is answered by itself; it knows {task['range']}." if "range" in task else ""
        description += f"\nIt was not taught others:{other}\nAn answer that is not marked as a guess may be wrong too."
    elif example := task.get("example") or own_example(folder):
        description += f"\nIt was tuned on examples such as\n  you> {example['prompt']}\n  model> {example['answer']}"
    if sampling.temperature is None:  # where one answer alone is right, chance makes fewer of them
        sampling = replace(sampling, temperature=0.0 if shown else TEMPERATURE)
    encoder = encoder_of(folder if (folder / "tokenizer.json").exists() else base_of(folder))
    return Conversation(model, tokenizer, instruct, sampling, encoder, alone=bool(shown)), description


def own_example(folder: Path) -> dict[str, str]:
    """A held-out row of one's own data, of a model tuned on such here; it stays in the reports, off the model's copies.

    Empty if there is none.
    """
    from components.stages.account.summary import read_rows

    models = (paths.ROOT / "models").resolve()
    if not (resolved := folder.resolve()).is_relative_to(models):
        return {}
    rows = read_rows(paths.ROOT / "reports" / resolved.relative_to(models) / "details/heldout.csv")
    first = rows[0] if rows else {}
    return {"prompt": first["text"], "answer": first["answer"]} if {"text", "answer"} <= first.keys() else {}


def converse(chat: Conversation, minimum: float, probabilities: bool) -> None:
    """Ask and answer until an empty line or the end of input; a line `?` shows the last answer's probabilities."""
    last: Answer | None = None
    while True:
        try:
            prompt = asked()
        except EOFError:
            print()
            return
        if not prompt:
            return
        if prompt == "?" and last:
            print(last.table())
            continue
        print("model> ", end="", flush=True)
        last = chat.answer(prompt, write)
        finish(last, minimum, probabilities, sys.stdout)


def asked() -> str:
    """Typed prompt: a line, and those after it as long as each ends in a backslash."""
    lines = [input("\nyou> ")]
    while lines[-1].endswith("\\"):
        lines[-1] = lines[-1][:-1]
        lines.append(input("...> "))
    return "\n".join(lines).strip()


def finish(answer: Answer, minimum: float, probabilities: bool, where: TextIO) -> None:
    """End the line of an answer, and say what is to be said of it."""
    print()
    for line in (answer.caveat(minimum) and f"({answer.caveat(minimum)})", probabilities and answer.table()):
        if line:
            print(line, file=where, flush=True)


def write(text: str) -> None:
    """Print a piece of text at once."""
    print(plain(text), end="", flush=True)


Share = Annotated[float, Parameter(validator=Number(gte=0, lte=1))]


def chat(
    *,
    prompt: str | None = None,
    model: str = "",
    max_tokens: Annotated[int, Parameter(converter=whole, validator=Number(gte=1, lte=1 << 20))] = Sampling.max_tokens,
    temperature: Annotated[float | None, Parameter(validator=Number(gte=0, lte=100))] = None,
    top_p: Share = Sampling.top_p,
    seed: Annotated[int, Parameter(converter=whole, validator=Number(gte=0, lt=1 << 63))] = Sampling.seed,
    confidence: Share = LEAST_CONFIDENCE,
    probabilities: bool = False,
) -> None:
    """Talk to the model just made.

    greenhouse chat                                   a conversation; an empty line or Ctrl-D ends it
    greenhouse chat --prompt "What is a list?"        one answer, for scripts
    greenhouse chat --model models/pretrain/causal    another model folder

    The instruction-tuned model answers in the chat format, and begins with held-out questions that it answers and one
    that it was not taught (of rows of your own with a held-out one, from this checkout's reports); a merely pretrained
    one continues the text. The conversation so far is part of the prompt as long as it fits the context; the oldest
    turns are dropped first, and all of them where single questions were taught. A line that ends in a backslash goes on
    in the next.

    An answer's confidence is the geometric mean of the probabilities that the model gave to the answer's tokens, its
    end among them, before temperature and top-p. Below --confidence it is said to be a guess. A line `?` (or
    --probabilities) shows the probability of each token of the last answer.

    Args:
        prompt: answer this and end.
        model: folder of a model or an adapter; default: the first of models/finetune/instruct, models/pretrain/causal.
        max_tokens: tokens of an answer at most (64).
        temperature: 0: always the likeliest token (0.7, and 0 for a model that was taught questions).
        top_p: sample from the likeliest tokens that have this probability together (0.9).
        seed: the same seed gives the same answer (1).
        confidence: below it, an answer is a guess (0.5).
        probabilities: show the probability of each token.
    """
    if prompt is not None and not prompt.strip():
        raise UserError("--prompt is empty; write a question, or leave it out to talk")
    if prompt is None and sys.stdin is None:
        raise UserError("the standard input is closed, so nothing can be asked; open it, or give --prompt")
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # bytes that are no text are for `question` to replace
    folder = model_folder(model)
    conversation, description = open_chat(folder, Sampling(max_tokens, temperature, top_p, seed))
    print(description, file=sys.stderr)
    if withdrawals(paths.ROOT) and (why := withdrawn(paths.ROOT, md5_of(folder))):
        print(f"This model is {why}.", file=sys.stderr)
    try:
        if prompt is not None:
            finish(conversation.answer(prompt, write), confidence, probabilities, sys.stderr)
        else:
            converse(conversation, confidence, probabilities)
    except KeyboardInterrupt:
        print()
