"""Division of rows: groups of similar ones stay together, what is held out is not trained on."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from components.corpus.corpus import CorpusWriter
from components.finetuning_data.formats import Rows, read
from components.finetuning_data.rows import Chat, Labelled, Preference, Row, count_reasons
from components.finetuning_data.split import classes_of, split
from components.instruction_pairs.examples import Message
from tests.components.task_corpora import GERMAN, document
from tests.errors import refused

WORDS = [word for word in GERMAN.split() if word.isalpha()]


def chat(number: int, extra: str = "") -> Chat:
    question = " ".join([*WORDS[number * 7 % 37 :][:9], f"number {number}", extra]).strip()
    turns = Message("user", f"{question}?"), Message("assistant", f"It is {number}, which follows {number - 1}.")
    return Chat(turns, f"rows.jsonl line {number}")


def examples(rows: list[Row], kind: str = "chat") -> Rows:
    return Rows(Path("rows"), kind, rows, [])  # type: ignore[arg-type]


def test_the_split_depends_on_the_rows_alone() -> None:
    rows: list[Row] = [chat(number) for number in range(100)]
    first = split(examples(rows), None, 1000, seed=1)
    again = split(examples(rows[::-1]), None, 1000, seed=1)
    assert first == again
    assert [row.cluster for row in first.train] == [row.cluster for row in again.train]
    other = split(examples(rows), None, 1000, seed=2)
    assert (other.heldout, sorted(one.where for one in other.train)) == (
        first.heldout, sorted(one.where for one in first.train)
    )  # fmt: skip
    assert other.train != first.train
    assert len(first.train) + len(first.heldout) == 100
    assert 4 <= len(first.heldout) <= 10
    fewer = split(examples(rows), None, 20, seed=1)
    assert (len(fewer.train), fewer.beyond, fewer.heldout) == (20, len(first.train) - 20, first.heldout)


def test_similar_rows_are_on_one_side() -> None:
    words = [" ".join(f"{word}{number}" for word in WORDS * 2) for number in range(6)]  # every pair has its own
    copies = [[Chat((Message("user", f"{text} {copy}"), Message("assistant", str(number))), f"{number}/{copy}")
               for copy in "ab"] for number, text in enumerate(words)]  # fmt: skip
    rows: list[Row] = [one for pair in copies for one in pair] + [chat(number) for number in range(40)]
    for seed in range(6):
        made = split(examples(rows), None, 1000, seed)
        held = {row.where for row in made.heldout}
        assert all((pair[0].where in held) == (pair[1].where in held) for pair in copies)
        for pair in copies:
            if pair[0].where in held:
                of = {row.where: row.cluster for row in made.heldout}
                assert of[pair[0].where] == of[pair[1].where]


def test_a_question_with_many_answers_and_a_chat_in_parts_are_on_one_side() -> None:
    """Else the held-out question, or its very answer, would be trained on."""
    asked: list[Row] = []
    for number in range(30):
        first = chat(number).messages
        more = Message("user", f"And after {number}?"), Message("assistant", f"{number} and one, of course.")
        other = first[0], Message("assistant", " ".join(f"{word}{number}" for word in WORDS[:12]))
        asked += [Chat(turns, f"{number}/{place}") for place, turns in enumerate((first, first + more, other))]
    made = split(examples(asked), None, 1000, seed=1)
    assert len(made.train) + len(made.heldout) == 90
    assert not {row.where.split("/")[0] for row in made.heldout} & {row.where.split("/")[0] for row in made.train}
    assert len({row.cluster for row in made.heldout}) == len(made.heldout) / 3


def test_a_class_of_similar_rows_stays_with_the_training_rows() -> None:
    """Its rows are one group: held out whole, nothing would be learned of it."""
    for number in range(20):
        alike = [Labelled(f"{chat(99).text} {'x' * copy}", "alike", f"alike {copy}") for copy in range(2)]
        rows: list[Row] = [Labelled(chat(n).text, "ab"[n % 2], str(n)) for n in range(number, number + 40)]
        made = split(examples([*rows, *alike], "label"), None, 1000, seed=1)
        assert {"alike 0", "alike 1"} <= {row.where for row in made.train}
        assert len(made.heldout) == 4
        assert not made.refused


def test_the_same_share_of_each_class_is_held_out_and_of_a_rare_one_a_row() -> None:
    """By hash alone, a tenth of five rows is seldom any: the score would be of the other class."""
    for start in range(0, 100, 5):
        rows: list[Row] = [Labelled(chat(n).text, "rare" if n % 60 == start % 60 else "usual", str(n))
                           for n in range(start, start + 300)]  # fmt: skip
        made = split(examples(rows, "label"), None, 1000, seed=1)
        assert count_of(made.heldout) == {"rare": 1, "usual": 29}
        even: list[Row] = [Labelled(chat(n).text, "ab"[n % 2], str(n)) for n in range(start, start + 80)]
        assert count_of(split(examples(even, "label"), None, 1000, seed=1).heldout) == {"a": 4, "b": 4}
        several: list[Row] = [Labelled(chat(n).text, ("often", *(["rare"] if n % 50 == 0 else [])), str(n))
                              for n in range(start, start + 300)]  # fmt: skip
        assert count_of(split(examples(several, "labels"), None, 1000, seed=1).heldout)["rare"] == 1


def count_of(rows: Sequence[Row]) -> Counter[str]:
    return Counter(name for row in rows for name in classes_of(row))


def test_one_more_row_moves_hardly_any_other() -> None:
    rows: list[Row] = [Labelled(chat(n).text, "abc"[n % 7 % 3], str(n)) for n in range(300)]
    before = {row.where for row in split(examples(rows, "label"), None, 1000, seed=1).heldout}
    for number in range(300, 320):
        more: list[Row] = [*rows, Labelled(chat(number).text, "a", str(number))]
        after = {row.where for row in split(examples(more, "label"), None, 1000, seed=1).heldout}
        assert len((before ^ after) - {str(number)}) <= 3


def test_repeats_and_text_of_the_held_out_set_are_left_out(tmp_path: Path) -> None:
    with CorpusWriter(tmp_path / "heldout") as writer:
        writer.add(document(GERMAN, "tale.txt", "tale"))
    quoted = Chat((Message("user", "Tell me."), Message("assistant", GERMAN[:250])), "rows.jsonl line 77")
    rows: list[Row] = [chat(number) for number in range(60)]
    made = split(examples([*rows, rows[3], quoted]), tmp_path / "heldout", 1000, seed=1)
    reasons = count_reasons(made.refused)
    assert reasons["repeats an earlier row"] == 1
    assert quoted not in made.train
    if quoted not in made.heldout:
        assert reasons["text of the pipeline's held-out corpus"] == 1


def test_rows_that_contradict_each_other_are_left_out() -> None:
    """Nothing says which is right, so neither is kept, in whatever order they come."""
    labelled: list[Row] = [Labelled(chat(n).text, "ab"[n % 2], str(n)) for n in range(60)]
    pairs: list[Row] = [Preference(chat(n).messages[:1], "yes", "no", str(n)) for n in range(60)]
    for rows, kind, other in (
        (labelled, "label", Labelled(chat(7).text, "a", "again")),
        (pairs, "preference", Preference(chat(7).messages[:1], "no", "yes", "again")),
    ):
        for some in ([*rows, other], [other, *rows]):
            made = split(examples(some, kind), None, 1000, seed=1)
            assert {one.where for one in made.refused} == {"7", "again"}
            assert count_reasons(made.refused) == {"contradicts another row": 2}


def test_what_contradictions_leave_is_refused_where_it_teaches_nothing() -> None:
    both: list[Row] = [Labelled(chat(n // 2).text, "ab"[n % 2], f"line {n}") for n in range(60)]
    with refused("rows.refuse_empty.2", "60 x contradicts another row", "line 0 (line 1"):
        split(examples(both, "label"), None, 1000, seed=1)
    one: list[Row] = [Labelled(chat(n).text, "a", f"line {n}") for n in range(60, 100)]
    with refused("split._refuse_alike", "class 'a'"):
        split(examples([*both, *one], "label"), None, 1000, seed=1)


def test_rows_that_are_all_alike_are_refused() -> None:
    def labelled(texts: int, labels: int, count: int = 50) -> Rows:
        return examples([Labelled(chat(i % texts).text, f"c{i % labels}", f"line {i}") for i in range(count)], "label")

    one_group: list[Row] = [Labelled(f"{chat(1).text} {'x' * (i % 2)}", f"c{i % 2}", str(i)) for i in range(50)]
    zeros: list[Row] = [Labelled(chat(n).text, ("0", "0.0", "1")[n % 3], "") for n in range(50)]
    unlabelled: list[Row] = [Labelled(chat(n).text, (), "") for n in range(50)]
    for rows, code, *facts in (
        (examples([chat(1)] * 50), "_refuse_alike", "all 50 rows"),
        (labelled(50, 1), "_refuse_alike", "class 'c0'"),
        (labelled(1, 2), "_refuse_alike", "text"),
        (examples(zeros, "label"), "_refuse_alike", "'0' and '0.0'"),
        (examples(unlabelled, "labels"), "_refuse_alike", "labels (none)"),
        (labelled(50, 50), "split", "50 to train on and 0 held out", "of each class"),
        (examples(one_group, "label"), "split", "2 different rows in 1 group", "2 are alike, as 1 and 0"),
        (labelled(4, 2), "split", "4 different rows", "more rows", "46 x repeats an earlier row"),
    ):
        with refused(f"split.{code}", *facts):
            split(rows, None, 1000, seed=1)


def test_a_class_that_max_pairs_cuts_off_is_not_asked_about() -> None:
    rows: list[Row] = [Labelled(chat(number).text, ("a", f"c{number % 12}"), str(number)) for number in range(120)]
    made = split(examples(rows, "labels"), None, 10, seed=3)
    known = {name for row in made.train for name in classes_of(row)}
    assert len(made.train) == 10
    assert {name for row in made.heldout for name in classes_of(row)} <= known
    assert "class unseen in training" in count_reasons(made.refused)


def test_held_out_files_of_a_folder_are_held_out_and_what_is_like_them_is_not_trained_on(tmp_path: Path) -> None:
    """They were merged with the others, so that nine tenths of a test set were trained on."""

    def write(name: str, numbers: Sequence[int], label: str = "") -> None:
        rows = [{"text": chat(number).text, "label": label or "ab"[number % 2]} for number in numbers]
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))

    write("train.jsonl", range(100))
    write("test-00000-of-00001.jsonl", [*range(100, 130), 5])
    write("dev/rows.jsonl", range(200, 210))
    write("relabelled.jsonl", [203], "a")
    made = split(read(tmp_path), None, 1000, seed=1)
    files = Counter(row.where.rpartition(" line ")[0] for row in made.heldout)
    assert files == {"test-00000-of-00001.jsonl": 31, "dev/rows.jsonl": 10}
    assert {row.where.rpartition(" line ")[0] for row in made.train} == {"train.jsonl"}
    assert made.given == "held out: the 41 rows of dev/rows.jsonl, test-00000-of-00001.jsonl"
    assert {(one.where, one.reason, one.detail) for one in made.refused} == {
        ("train.jsonl line 6", "repeats a held-out row", "as test-00000-of-00001.jsonl line 31"),
        ("relabelled.jsonl line 1", "similar to a held-out row", "as dev/rows.jsonl line 4"),
    }
    assert len(made.train) == 99
    write("test-00000-of-00001.jsonl", range(1000, 1600))
    most = split(read(tmp_path), None, 1000, seed=1)
    assert (len(most.heldout), len(most.train)) == (480, 100)
    assert "held out: 480 of the 610 rows of dev/rows.jsonl, test" in most.given
    assert "(480 at most, chosen by hash; none of the others is trained on)" in most.given
