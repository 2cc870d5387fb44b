"""Division of rows into training and held-out ones, so that the held-out score means something.

1. A row that repeats an earlier one is left out, and all rows that contradict each other: a text
   with two labels, two answers each of which is once the better one.
2. Similar rows form a group (components/similarity/groups.py; a form that many share makes none
   alike), and so do chats of which one poses, in the same words, the question that the other ends
   with. Whole groups are held out, chosen by hash: no held-out row has a near-copy among the
   training rows, or its question with another answer. Of each class the same share is held out, and
   a row at least of one with five groups; its last group stays with the training rows. No seed
   moves a row across, though a held-out row goes whose class `most` left none of to train on. Where
   files of a folder are named as held-out rows are (formats.py), theirs are, at most `MOST_HELDOUT`
   by hash; of the other rows those go that repeat one of theirs or are of its group.
3. A training row that shares much text with the pipeline's held-out set is left out, as the filter
   stage leaves documents out: the tuned model is scored on that set too.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from components.core.errors import UserError
from components.core.files import sha256_bytes
from components.finetuning_data.formats import Rows
from components.finetuning_data.rows import Chat, Labelled, Preference, Refused, Row, reason_lines, refuse_empty
from components.instruction_pairs.examples import HELDOUT_SEED, MOST_HELDOUT
from components.similarity.decontaminate import contamination_index
from components.similarity.groups import similar_groups

HELDOUT_SHARE, LEAST_HELDOUT = 0.1, 4
LEAST_TRAIN = 8
FEWEST_GROUPS = 5
"""Of a class of which one is held out whatever its share: the first that has no more than a fifth of its rows."""
NGRAM, MOST_SHARED = 13, 0.3
"""Words of a run, and the share of a row's runs in the held-out set from which it goes: what filter ships with."""
WHOLE = re.compile(r"-?\d+\.0+")
"""A whole number as a program writes it whose column has a gap somewhere."""
AT_ONCE = 1000
UNSEEN = "class unseen in training"


@dataclass(frozen=True)
class Split:
    """Rows to train on and rows held out, each with its cluster.

    Attributes:
        source: what was divided.
        refused: rows left out, those that were refused in reading included.
        beyond: training rows left out because `most` were wanted.
        given: a sentence on rows that are held out because of the files they stand in; empty where
            a share of all is.
    """

    source: Rows = field(compare=False)
    train: list[Row]
    heldout: list[Row]
    refused: list[Refused]
    beyond: int = 0
    given: str = ""


def split(examples: Rows, heldout: Path | None, most: int, seed: int) -> Split:
    """Divide rows; the choice depends on the rows alone, not on their order.

    Args:
        heldout: the pipeline's held-out corpus.
        most: training rows kept at most, chosen by hash.
        seed: of that choice, and of the order of the training rows.

    Raises:
        UserError: too few rows are left, or all are alike.
    """
    path, refused = examples.path, list(examples.refused)
    _refuse_alike(path, examples.rows, refused)
    usable = _distinct(examples.rows, refused)
    refuse_empty(path, usable, refused)
    given_heldout = _by_hash(_distinct(examples.heldout, refused), HELDOUT_SEED)
    rows = [*given_heldout, *_by_hash(usable, HELDOUT_SEED)]
    groups = _groups(rows)
    for members in groups:
        for index in members:
            rows[index] = replace(rows[index], cluster=str(members[0]))
    if examples.heldout:
        held = set(range(min(MOST_HELDOUT, len(given_heldout))))
        unused = _like_held_out(rows, groups, len(given_heldout), refused) | set(range(len(given_heldout)))
    else:
        wanted = max(LEAST_HELDOUT, min(MOST_HELDOUT, round(HELDOUT_SHARE * len(rows))))
        held = unused = _held_out(groups, [classes_of(row) for row in rows], wanted)
    train = _by_hash([row for index, row in enumerate(rows) if index not in unused], seed)
    if heldout:
        train = _decontaminated(train, heldout, refused)
    beyond, train = max(0, len(train) - most), train[:most]
    tested = _labels_known([rows[index] for index in sorted(held)], train, refused)
    if len(tested) < LEAST_HELDOUT or len(train) < LEAST_TRAIN:
        few = isinstance(rows[0], Labelled) and len(train) >= LEAST_TRAIN
        more = "several rows of each class, less alike" if few else "more rows, less alike"
        largest = max(groups, key=len)
        noun = "groups" if len(groups) > 1 else "group"
        alike = (f"; {len(largest)} are alike, as {rows[largest[0]].where} and {rows[largest[1]].where}: the same "
                 "prompt, or most runs of three words in common") if len(largest) > 1 else ""  # fmt: skip
        raise UserError(
            f"{path}: {len(rows)} different rows in {len(groups)} {noun} of similar ones "
            f"give {len(train)} to train on and {len(tested)} held out, of {LEAST_TRAIN} and {LEAST_HELDOUT} needed"
            f"{alike}; give {more}; left out: {'; '.join(reason_lines(refused)) or 'none'}"
        )
    _refuse_alike(path, train, refused)
    given = _given(examples, len(tested), len(given_heldout)) if examples.heldout else ""
    return Split(examples, train, tested, refused, beyond, given)


def _like_held_out(
    rows: Sequence[Row], groups: Iterable[list[int]], num_heldout: int, refused: list[Refused]
) -> set[int]:
    """Indices of training rows, which follow the held-out ones, that are in a group with one of those; all are refused.

    Those with a held-out row that is not scored go too: which are scored says nothing about which
    may be learned.
    """
    similar = set[int]()
    for members in groups:
        tests = {_content(rows[index]): rows[index].where for index in reversed(members) if index < num_heldout}
        for index in members if tests else ():
            if index >= num_heldout:
                same = tests.get(_content(rows[index]))
                reason = "repeats a held-out row" if same else "similar to a held-out row"
                refused.append(Refused(rows[index].where, reason, f"as {same or list(tests.values())[-1]}"))
                similar.add(index)
    return similar


def _given(examples: Rows, num_tested: int, num_distinct: int) -> str:
    total, files = len(examples.heldout), ", ".join(examples.heldout_files)
    some = "" if num_tested == total else f"{num_tested:,} of "
    most = f" ({MOST_HELDOUT} at most, chosen by hash; none of the others is trained on)"
    most = most if num_distinct > MOST_HELDOUT else ""
    return f"held out: {some}the {total:,} rows of {files}{most}"


def _groups(rows: Sequence[Row]) -> list[list[int]]:
    """Indices of the rows of each group: of similar text, or chats with a question in common that one ends with."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    group = similar_groups([row.text for row in rows])
    chats = [(index, row) for index, row in enumerate(rows) if isinstance(row, Chat)]
    ends = {_questions(row)[-1]: index for index, row in chats}
    joined = [(index, ends[asked]) for index, row in chats for asked in _questions(row) if asked in ends]
    one, other = np.array(joined, dtype=np.int64).reshape(-1, 2).T
    size = int(group.max()) + 1
    graph = coo_array((np.ones(len(joined)), (group[one], group[other])), shape=(size, size))
    members: dict[int, list[int]] = {}
    for index, number in enumerate(connected_components(graph, directed=False)[1][group].tolist()):
        members.setdefault(number, []).append(index)
    return list(members.values())


def _questions(chat: Chat) -> list[str]:
    """A chat up to each of its answers, the system message left out."""
    turns = [message for message in chat.messages if message.role != "system"]
    return [
        "\0".join(part.strip() for turn in turns[:number] for part in (turn.role, turn.content))
        for number, message in enumerate(turns)
        if message.role == "assistant"
    ]


def _by_hash(rows: Sequence[Row], seed: int) -> list[Row]:
    return sorted(rows, key=lambda row: sha256_bytes(f"{seed} {_content(row)}".encode()))


def _refuse_alike(path: Path, rows: Sequence[Row], refused: Sequence[Refused]) -> None:
    """Raise `UserError` if nothing can be learned of rows; its message counts those `refused` before."""
    if reason := _alike(rows):
        left_out = f"; left out: {'; '.join(reason_lines(refused))}" if refused else ""
        raise UserError(f"{path}: {reason}{left_out}")


def _alike(rows: Sequence[Row]) -> str:
    """Why nothing can be learned of rows: all are the same, or all texts are, or all labels; empty if something can."""
    if len({_content(row) for row in rows}) == 1 < len(rows):
        return f"all {len(rows)} rows are the same, as {rows[0].where}; give different ones"
    labelled = [row for row in rows if isinstance(row, Labelled)]
    if labelled and len({row.label for row in labelled}) == 1:
        only = labelled[0].label
        if isinstance(only, str):
            return f"all rows are of the class {only!r}; give at least two classes"
        return f"all rows have the same labels ({', '.join(only) or 'none'}); give rows with others"
    names = {name for row in labelled for name in classes_of(row)}
    if twice := sorted(name for name in names if WHOLE.fullmatch(name) and name.partition(".")[0] in names):
        same = f"{twice[0].partition('.')[0]!r} and {twice[0]!r}"
        return f"the classes {same} are one number written in two ways; write it in one"
    if len({row.text for row in labelled}) == 1 < len(rows):
        return "all rows have the same text; nothing tells their classes apart"
    return ""


def _distinct(rows: Sequence[Row], refused: list[Refused]) -> list[Row]:
    first: dict[str, Row] = {}
    of_question: dict[str, list[Row]] = {}
    for row in rows:
        content = _content(row)
        if content in first:
            refused.append(Refused(row.where, "repeats an earlier row", f"as {first[content].where}"))
        elif first.setdefault(content, row) is row:
            of_question.setdefault(_question(row), []).append(row)
    for alike in of_question.values():
        refused += [Refused(row.where, "contradicts another row", f"{other.where} has the same text")
                    for row, other in zip(alike, alike[1:] + alike[:1], strict=True) if row is not other]  # fmt: skip
    return [alike[0] for alike in of_question.values() if len(alike) == 1]


def _content(row: Row) -> str:
    """All of a row but where it stands, and white space around it."""
    if isinstance(row, Labelled):
        return f"{row.label}\0{row.text.strip()}"
    messages = row.messages if isinstance(row, Chat) else row.prompt
    more = (row.chosen, row.rejected) if isinstance(row, Preference) else ()
    return "\0".join([part.strip() for message in messages for part in (message.role, message.content)] + [*more])


def _question(row: Row) -> str:
    """Part of a row that has one right answer: a text to classify, two answers to compare. In a chat, all of it."""
    if isinstance(row, Preference) and row.rejected < row.chosen:
        return _content(replace(row, chosen=row.rejected, rejected=row.chosen))
    return row.text.strip() if isinstance(row, Labelled) else _content(row)


def _held_out(groups: list[list[int]], classes: Sequence[tuple[str, ...]], wanted: int) -> set[int]:
    """Members of groups that together stay about within what is wanted, of each class the same share.

    First a group of each class that has enough of them, then of each class its share, the rarest
    class first, then what shares rounded down have left; each time the first groups in their order.
    Rows without a class go by the last alone. Passed over are larger groups, and the last one of a
    class, of which nothing could be learned without it.
    """
    held, rows, tested = set[int](), Counter[str](), Counter[str]()
    counts = [Counter(name for index in members for name in classes[index]) for members in groups]
    groups_of: dict[str, list[int]] = {}
    for number, names in enumerate(counts):
        rows.update(names)
        for name in names:
            groups_of.setdefault(name, []).append(number)
    left = {name: len(numbers) for name, numbers in groups_of.items()}

    def hold(number: int, most: int) -> None:
        is_free = held.isdisjoint(groups[number]) and len(held) + len(groups[number]) <= most
        if is_free and all(left[name] > 1 for name in counts[number]):
            held.update(groups[number])
            tested.update(counts[number])
            for name in counts[number]:
                left[name] -= 1

    rarest = sorted(rows, key=lambda name: (rows[name], name))
    for name in rarest:
        for number in groups_of[name] if len(groups_of[name]) >= FEWEST_GROUPS else ():
            if not tested[name] and len(groups[number]) * FEWEST_GROUPS <= rows[name]:
                hold(number, MOST_HELDOUT)
    most = min(MOST_HELDOUT, wanted + len(held))
    for name in rarest:
        share = wanted * rows[name] // len(classes)
        for number in groups_of[name]:
            if tested[name] + len(groups[number]) <= share:
                hold(number, most)
    for number in range(len(groups)):
        hold(number, wanted)
    return held


def _decontaminated(train: list[Row], heldout: Path, refused: list[Refused]) -> list[Row]:
    index, kept = contamination_index(heldout, None, NGRAM), []
    for start in range(0, len(train), AT_ONCE):
        some = train[start : start + AT_ONCE]
        for row, hits in zip(some, index.hits([_all_text(row) for row in some]), strict=True):
            shared = [hit for hit in hits if hit.share > MOST_SHARED]
            if shared:
                refused.append(Refused(row.where, "text of the pipeline's held-out corpus", shared[0].reason()))
            else:
                kept.append(row)
    return kept


def _all_text(row: Row) -> str:
    return f"{row.text}\n{row.chosen}\n{row.rejected}" if isinstance(row, Preference) else row.text


def _labels_known(heldout: list[Row], train: list[Row], refused: list[Refused]) -> list[Row]:
    """The held-out rows of whose classes each is some training row's."""
    known, kept = {name for row in train for name in classes_of(row)}, []
    for row in heldout:
        if unknown := [name for name in classes_of(row) if name not in known]:
            refused.append(Refused(row.where, UNSEEN, ", ".join(unknown)))
        else:
            kept.append(row)
    return kept


def classes_of(row: Row) -> tuple[str, ...]:
    """Names of the classes of a row; none of a chat or a preference."""
    label = row.label if isinstance(row, Labelled) else ()
    return (label,) if isinstance(label, str) else label
