"""Which task a corpus can feed: any text feeds one of each branch, and those passed over say why."""

import re
from collections import Counter
from pathlib import Path
from random import Random

import networkx
import pytest

from components.instruction_pairs.examples import Examples, PromptPair
from components.stages.finetune.report import TuningReport
from components.stages.finetune.task_selection import TASKS, Choice, FinetuneTask, choose
from components.training.train_config import TrainResult
from tests.components import task_corpora as corpora
from tests.errors import refused, shows


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpora.python_docs(tmp_path_factory.mktemp("docs"))


def test_held_out_passages_of_one_source_are_at_most_three_times_those_of_another(docs: Path) -> None:
    whole = choose("classify", "source", corpora.draw(docs, max_heldout=10_000)).examples.heldout
    few, many = sorted(Counter(one.label for one in whole).values())  # type: ignore[union-attr]
    assert few < many <= 3 * few


def test_pairs_are_the_authors_own(docs: Path) -> None:
    examples = choose("instruct", "describe", corpora.draw(docs, max_train=10_000)).examples
    pairs = {pair.prompt: pair.answer for pair in examples.train if isinstance(pair, PromptPair)}
    assert len(pairs) > 100
    for prompt, answer in list(pairs.items())[:50]:
        module, header = re.fullmatch(r"What does this do\?\n([\w.]+): ((?:async def|def|class) .+)", prompt).groups()  # type: ignore[union-attr]
        path = Path(networkx.__file__).parents[1] / (module.replace(".", "/") + ".py")
        source = path.read_text() if path.exists() else (path.with_suffix("") / "__init__.py").read_text()
        assert answer in " ".join(source.replace('r"""', '"""').split())
        assert re.split(r"[ (.]", header.split(" ", 1)[1])[0] in source


def test_no_answer_is_both_trained_and_held_out(docs: Path) -> None:
    for task in TASKS["instruct"][::2]:
        examples = task.draw(corpora.draw(docs, max_train=10_000, max_heldout=10_000))
        train, heldout = ({pair.answer for pair in part} for part in (examples.train, examples.heldout))  # type: ignore[union-attr]
        assert len(train) == len(examples.train)
        assert len(heldout) == len(examples.heldout)
        assert not train & heldout


def test_a_draw_depends_on_the_seed_and_on_nothing_else(docs: Path, tmp_path: Path) -> None:
    for branch, name in (("instruct", "describe"), ("classify", "source"), ("classify", "order")):
        one, again, other = (choose(branch, name, corpora.draw(docs, seed=seed)).examples for seed in (1, 1, 2))  # type: ignore[arg-type]
        assert one == again
        assert one.train != other.train
        assert one.heldout == other.heldout


def test_what_one_seed_trains_on_no_other_holds_out(tmp_path: Path) -> None:
    """The test passages of `work` are the training corpus's own."""
    works = [one for index in range(3) for one in corpora.plain([shuffled("german", index)], f"work {index}")]
    corpus = corpora.write(tmp_path, works, corpora.plain([shuffled("german", 9)], "exam"))
    one, other = (choose("classify", "work", corpora.draw(corpus, seed=seed)).examples for seed in (1, 2))
    assert one.heldout == other.heldout
    assert one.train != other.train
    assert not {passage.text for passage in one.heldout} & {passage.text for passage in other.train}  # type: ignore[union-attr]


def test_markdown_feeds_headings(tmp_path: Path) -> None:
    pages = []
    for index in range(40):
        words = GERMAN_WORDS[index % 40 : index % 40 + 9]
        sections = [f"## Of {max(words, key=len)} {index} {part}\n\n{part.title()} {' '.join(words)} {index}.\n\nMore."
                    for part in "abc"]  # fmt: skip
        pages.append(corpora.document("\n\n".join(sections), f"{index}.md", f"{index}.md"))
    corpus = corpora.write(tmp_path, pages[:30], pages[30:])
    choice = choose("instruct", "auto", corpora.draw(corpus))
    assert choice.task.name == "heading"
    assert [entry["task"] for entry in choice.skipped] == ["describe"]
    pair = choice.examples.train[0]
    assert isinstance(pair, PromptPair)
    assert re.fullmatch(r"Write the first sentence of this section\.\nOf \S+ \d+ [abc]", pair.prompt)
    assert pair.answer.endswith(".")
    assert "\n" not in pair.answer


GERMAN_WORDS = corpora.GERMAN.replace(".", "").replace(",", "").split()


def shuffled(kind: str, seed: int = 1) -> str:
    """Some 20,000 characters that do not repeat, of the words or signs of a language."""
    random = Random(seed)
    if kind == "japanese":
        return "".join(random.choices(corpora.JAPANESE, k=20_000))
    if kind == "one_line":
        return "".join(random.choices("abcdefgh", k=20_000))
    words = corpora.GERMAN.split() if kind == "german" else GERMAN_WORDS
    return " ".join(random.choices(words, k=3000))


@pytest.mark.parametrize("text", ["german", "japanese", "no_punctuation", "one_line"])
@pytest.mark.parametrize("works", [1, 3])
def test_any_text_feeds_a_task_of_each_branch(tmp_path: Path, text: str, works: int) -> None:
    whole = shuffled(text)
    pieces = [f"{index} {whole[index * 10 :]}" for index in range(works)]
    train = [one for index, piece in enumerate(pieces) for one in corpora.plain([piece], f"work {index}")]
    corpus = corpora.write(tmp_path, train, corpora.plain([shuffled(text, seed=2)[:3000]], "exam"))
    instruct = choose("instruct", "auto", corpora.draw(corpus))
    assert instruct.task.name == "continue"
    assert [entry["task"] for entry in instruct.skipped] == ["describe", "heading"]
    assert all("were found" in entry["reason"] for entry in instruct.skipped)
    classify = choose("classify", "auto", corpora.draw(corpus))
    assert classify.task.name == ("order" if works == 1 else "work")
    shows(classify.skipped[0]["reason"], "passage_tasks.from_sources")
    counts = [sum(passage.label == label for passage in classify.examples.train) for label in range(2)]  # type: ignore[union-attr]
    assert min(counts) > 0.2 * max(counts)


def test_pieces_of_one_file_are_one_work(tmp_path: Path) -> None:
    pieces = [corpora.document(shuffled("german", seed), f"book.txt#{seed}", f"book.txt#{seed}") for seed in range(4)]
    choice = choose("classify", "auto", corpora.draw(corpora.write(tmp_path, pieces[:3], pieces[3:])))
    assert choice.task.name == "order"
    shows(choice.skipped[1]["reason"], "passage_tasks.from_works", "1 of 1", 40)


def test_held_out_text_of_one_work_is_said(tmp_path: Path) -> None:
    texts = [shuffled("german", seed) for seed in range(3)]
    corpus = corpora.write(tmp_path, corpora.plain(texts[:2], "book"), corpora.plain(texts[2:], "exam"))
    for branch in TASKS:
        examples = choose(branch, "auto", corpora.draw(corpus)).examples  # type: ignore[arg-type]
        assert "of one work, so intervals speak of that work alone" in examples.note
        assert len({one.cluster for one in examples.heldout}) == len(examples.heldout)
    exams = [one for n in range(3) for one in corpora.plain([shuffled("german", 7 + n)[:9000]], f"exam {n}")]
    corpus = corpora.write(tmp_path / "more", corpora.plain(texts[:2], "book"), exams)
    examples = choose("instruct", "auto", corpora.draw(corpus)).examples
    assert "of one work" not in examples.note
    assert {(one.cluster, one.stratum) for one in examples.heldout} == {(f"exam {n}", "docs") for n in range(3)}


def test_no_text_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    corpus = corpora.write(tmp_path, corpora.plain(["short text"], "a"), corpora.plain(["short"], "b"))
    with refused("task_selection.choose", "finetune.instruct.task = auto: 0 training", "more text"):
        choose("instruct", "auto", corpora.draw(corpus))
    with refused("task_selection.choose", "finetune.classify.task = source", "two sources", "auto"):
        choose("classify", "source", corpora.draw(corpus))


def test_batches_that_were_passed_over_are_counted_and_named(tmp_path: Path) -> None:
    choice = Choice(FinetuneTask("rows", "a title"), Examples([], []), [])
    for skipped, says in ([41, 55], "so not learned from: batches 41, 55."), ([], ""):
        result = TrainResult(losses=[1.0] * 10, skipped=skipped)
        report = TuningReport("Title", choice, result, tmp_path)
        assert (report.metrics["train_loss"], report.metrics["skipped_batches"]) == (1.0, len(skipped))
        page = report.page.markdown
        assert ("Passed over" in page) == bool(skipped)
        assert says in page
