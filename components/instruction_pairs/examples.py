"""Examples of fine-tuning tasks: pairs or passages drawn from the documents of a corpus.

Draws are made by hash: an example is kept or not by its own key, so the choice depends on the seed
and on the example, never on the order or the number of its neighbours. What is held out depends on
no seed: models of different seeds are compared on the same examples.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from heapq import nsmallest
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from components.core.files import sha256_bytes
from components.corpus.corpus import Document, read_corpus, read_manifest

MOST_MEGABYTES = 64
"""Text looked at per corpus (10^6 bytes); of a larger one, a share of its documents drawn by hash."""

HELDOUT_SEED, MOST_HELDOUT = 1, 480
"""Seed of what is held out, whatever the seed of the training; and how many at most: they bound an
accuracy to about 4 percent, and a paired gain to less."""


class NotEnoughText(Exception):  # noqa: N818 - an answer, not an error
    """The corpus cannot feed this task; the message says why, for the report."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat; `role` is system, user or assistant. An answer that is not `learned` is only read."""

    role: str
    content: str
    learned: bool = True


def conversation(turns: Sequence[Message]) -> str:
    """Turns as text to read: one alone as it is, several with who says each."""
    return turns[0].content if len(turns) == 1 else "\n".join(f"{turn.role}: {turn.content}" for turn in turns)


@dataclass(frozen=True)
class PromptPair:
    """A prompt and its answer.

    Attributes:
        cluster, stratum: the work it is from, which intervals resample as a whole, and that work's
            source; of rows of one's own the group of similar ones, and nothing.
        history: the messages before the prompt.
        where: file and line of a row of one's own.
    """

    prompt: str
    answer: str
    cluster: str
    history: tuple[Message, ...] = ()
    stratum: str = ""
    where: str = ""

    @property
    def messages(self) -> tuple[Message, ...]:
        """The chat that it is, up to its answer."""
        return (*self.history, Message("user", self.prompt), Message("assistant", self.answer))

    @property
    def question(self) -> str:
        """The prompt with the turns before it, to read."""
        return conversation(self.messages[:-1])


ProblemType = Literal["single_label_classification", "multi_label_classification"]
"""What is to be said of a passage, in the words of `transformers`' `problem_type`."""


@dataclass(frozen=True)
class Passage:
    """A text and the index of its label, or by `ProblemType` the indices of all its labels.

    `cluster`, `stratum` and `where` are those of `PromptPair`.
    """

    text: str
    label: Any
    cluster: str
    stratum: str = ""
    where: str = ""


Example = TypeVar("Example")
"""What examples are all of: `PromptPair`, `Passage`, or a `Preference` of components/finetuning_data/rows.py."""


@dataclass(frozen=True)
class Examples(Generic[Example]):
    """Training and held-out examples of a task.

    Attributes:
        labels: names of the classes; empty for pairs.
        problem: what a passage's label is.
        note: what the reader of a score must know about how examples were held out.
    """

    train: list[Example]
    heldout: list[Example]
    labels: list[str] = field(default_factory=list)
    note: str = ""
    problem: ProblemType = "single_label_classification"


@dataclass
class Draw:
    """The corpora and the limits of a draw; documents are read once.

    Attributes:
        train, heldout: corpus folders.
        max_train, max_heldout: most examples.
        passage_chars: length of a passage to classify.
        seed: chooses among training examples where there are more than the limits.
    """

    train: Path
    heldout: Path
    max_train: int
    max_heldout: int
    passage_chars: int
    seed: int
    _read: dict[Path, list[Document]] = field(default_factory=dict)

    @property
    def of_heldout(self) -> "Draw":
        """The same corpora, with the keys by which examples are held out."""
        return replace(self, seed=HELDOUT_SEED)

    def documents(self, folder: Path) -> list[Document]:
        """The documents of a corpus, or of a large one a share drawn by hash."""
        if folder not in self._read:
            share = MOST_MEGABYTES * 1e6 / max(1, read_manifest(folder).num_bytes)
            documents = read_corpus(folder)
            self._read[folder] = [one for one in documents if share >= 1 or self.fraction(one.id) < share]
        return self._read[folder]

    def key(self, *parts: object) -> str:
        """A hash of the seed and `parts`: examples are kept in the order of their keys."""
        return sha256_bytes(" ".join(map(str, (self.seed, *parts))).encode())

    def fraction(self, *parts: object) -> float:
        """The key as a number from 0 to 1."""
        return int(self.key(*parts)[:13], 16) / 16**13


def draw_pairs(
    draw: Draw, of: Callable[[Document], Iterable[PromptPair]], per_document: int, min_pairs: int, noun: str
) -> Examples[PromptPair]:
    """Pairs that `of` finds in each document, those with the lowest keys.

    An answer is used once, and none on both sides: boilerplate would be recited, not answered.

    Args:
        per_document: most pairs of one document.
        min_pairs: training pairs without which the task is not drawn; a quarter as many held-out
            ones are needed.
        noun: the pairs in words, for the reason.

    Raises:
        NotEnoughText: too few.
    """
    fixed = draw.of_heldout
    known = {pair.answer for pair in _distinct(fixed, draw.train, of, per_document, set())}
    heldout = _distinct(fixed, draw.heldout, of, per_document, known)
    train = _distinct(draw, draw.train, of, per_document, {pair.answer for pair in heldout})
    _refuse_few(len(train), len(heldout), min_pairs, noun)
    return Examples(train[: draw.max_train], heldout[: draw.max_heldout])


def _distinct(
    draw: Draw, folder: Path, of: Callable[[Document], Iterable[PromptPair]], per_document: int, known: set[str]
) -> list[PromptPair]:
    keyed: list[tuple[str, PromptPair]] = []
    for document in draw.documents(folder):
        ranked = ((draw.key(document.id, index), pair) for index, pair in enumerate(of(document)))
        keyed += nsmallest(per_document, ranked, key=lambda item: item[0])
    answers = set(known)
    examples = []
    for _, pair in sorted(keyed, key=lambda item: item[0]):
        if pair.answer not in answers:
            answers.add(pair.answer)
            examples.append(pair)
    return examples


def _refuse_few(train: int, heldout: int, min_pairs: int, noun: str) -> None:
    needed = max(4, min_pairs // 4)
    if train < min_pairs or heldout < needed:
        raise NotEnoughText(
            f"{train} training and {heldout} held-out {noun} were found, {min_pairs} and {needed} are needed"
        )


def lowest(candidates: Iterable[tuple[str, Passage]], most: int) -> list[Passage]:
    """The `most` passages with the lowest keys, in the order of their keys."""
    return [passage for _, passage in nsmallest(most, candidates, key=lambda item: item[0])]


def passages(draw: Draw, document: Document, chars: int, stride: int | None = None) -> Iterable[tuple[str, Passage]]:
    """Passages of `chars` characters, one every `stride` (consecutive if None), with their keys and label 0.

    An end shorter than half a passage is left out.
    """
    text = document.text
    for start in range(0, len(text), stride or chars):
        if len(text) - start >= chars // 2 and (part := text[start : start + chars].strip()):
            yield draw.key(document.id, start), Passage(part, 0, document.group, document.source)
