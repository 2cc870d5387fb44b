"""Rows for fine-tuning: what is read from each kind of file, and what is refused with line and reason."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.finetuning_data.formats import read
from components.finetuning_data.rows import Chat, Labelled, Preference, Refused, count_reasons
from components.instruction_pairs.examples import Message
from tests.errors import refused, refuses, shows

TURNS = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"},
         {"role": "assistant", "content": "Hello."}, {"role": "user", "content": "And?"},
         {"role": "assistant", "content": "That is all."}]  # fmt: skip


def jsonl(folder: Path, *rows: Any) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def test_every_kind_of_row_is_read_from_every_kind_of_file(tmp_path: Path) -> None:
    chat = read(jsonl(tmp_path, {"messages": TURNS, "id": 7}))
    assert chat.kind == "chat"
    assert chat.rows == [Chat(tuple(Message(**turn) for turn in TURNS), "rows.jsonl line 1")]
    pairs = [{"prompt": "Add 1 and 2.", "completion": "3"}]
    pq.write_table(pa.Table.from_pylist(pairs), tmp_path / "pairs.parquet")
    question = Message("user", "Add 1 and 2.")
    assert read(tmp_path / "pairs.parquet").rows == [Chat((question, Message("assistant", "3")), "pairs.parquet row 1")]
    (tmp_path / "labels.csv").write_text('text,label\n"two\nlines",yes\nshort,no\n')
    assert read(tmp_path / "labels.csv").rows == [
        Labelled("two\nlines", "yes", "labels.csv line 2"), Labelled("short", "no", "labels.csv line 4")
    ]  # fmt: skip
    whole = {"chosen": [*TURNS[1:2], {"role": "assistant", "content": "a"}],
             "rejected": [*TURNS[1:2], {"role": "assistant", "content": "b"}]}  # fmt: skip
    plain = {"prompt": "Hi", "chosen": "a", "rejected": "b"}
    for row in (whole, plain, whole | {"prompt": "Hi"}):
        [one] = read(jsonl(tmp_path, row)).rows
        assert one == Preference((Message("user", "Hi"),), "a", "b", "rows.jsonl line 1")


def test_rows_of_sharegpt_and_alpaca_are_chats(tmp_path: Path) -> None:
    spoken = [{"from": "system", "value": "Be brief."}, {"from": "human", "value": "Hi"},
              {"from": "gpt", "value": "Hello."}]  # fmt: skip
    found = read(jsonl(tmp_path, {"id": "x", "conversations": spoken}, {"conversations": [{"from": ["gpt"]}]},
                       {"conversations": [{"from": "tool", "value": "3"}, *spoken]}))  # fmt: skip
    assert found.rows == [Chat(tuple(Message(**turn) for turn in TURNS[:3]), "rows.jsonl line 1")]
    assert count_reasons(found.refused) == {"message without text": 1, "unknown role": 1}
    assert found.refused[0].detail.startswith("messages, message 1;")
    assert re.match("'tool' in message 1;.* user, assistant, human, gpt, ", found.refused[1].detail)
    assert found.unused == ("id",)
    asked = {"instruction": "Add them.", "input": "1 and 2", "output": "3"}
    short = {"instruction": "Say hi.", "output": "Hi"}
    rows = [asked, short | {"input": ""}, short, *(asked | {"input": one} for one in (12, 0, [])),
            asked | {"input": None, "output": None}]  # fmt: skip
    found = read(jsonl(tmp_path, *rows))
    assert [[turn.content for turn in row.messages] for row in found.rows if isinstance(row, Chat)] == [
        ["Add them.\n\n1 and 2", "3"], ["Say hi.", "Hi"], ["Say hi.", "Hi"], ["Add them.", "3"]
    ]  # fmt: skip
    assert count_reasons(found.refused) == {"input is no text": 2, "missing field": 1}
    assert found.refused[1].detail.startswith("0;")
    assert found.unused == ()


def test_of_tables_that_were_united_each_row_is_read_by_the_columns_it_fills(tmp_path: Path) -> None:
    """And a column that belongs to a form, but to none of the row's, is named as not used."""
    asked, spoken = {"instruction": "Say hi.", "output": "Hi"}, [{"from": "human", "value": "a"}, {"from": "gpt",
                     "value": "b"}]  # fmt: skip
    nulls = [turn | {"role": None, "content": None} for turn in spoken]
    found = read(jsonl(tmp_path, asked | {"conversations": None, "prompt": None}, asked | {"prompt": "all of it"},
                       {"conversations": nulls, "messages": None, "instruction": ""},
                       {"prompt": "a", "completion": "b", "input": "c"}, {"output": "b"}))  # fmt: skip
    assert [[turn.content for turn in row.messages] for row in found.rows if isinstance(row, Chat)] == [
        ["Say hi.", "Hi"], ["Say hi.", "Hi"], ["a", "b"], ["a", "b"],
    ]  # fmt: skip
    assert found.unused == ("prompt", "input")
    (one,) = found.refused
    assert (one.reason, one.detail) == ("missing field", "instruction")


def test_a_name_that_stands_twice_is_refused(tmp_path: Path) -> None:
    """The last of them would win, and the other be lost in silence."""
    found = read(
        jsonl(tmp_path, {"prompt": "a", "completion": "b"}, '{"prompt": "a", "completion": "b", "prompt": "c"}')
    )
    (one,) = found.refused
    shows(f"{one.reason}; {one.detail}", "formats._object", "not JSON", "'prompt'")
    table = pa.Table.from_arrays([pa.array(["a"])] * 3, names=["instruction", "output", "output"])
    pq.write_table(table, tmp_path / "rows.parquet")
    (tmp_path / "rows.csv").write_text("text,output,output\na,b,c\n")
    for name in ("rows.parquet", "rows.csv"):
        with refused("formats._refuse_twice", name, "output"):
            read(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "delimiter", "encoding"),
    [("a.csv", ";", "utf-8"), ("a.csv", "\t", "utf-16"), ("a.TSV", "\t", "utf-8-sig"), ("a.csv.gz", ",", "utf-8")],
)
def test_a_table_is_read_as_ingest_reads_it(name: str, delimiter: str, encoding: str, tmp_path: Path) -> None:
    """Spreadsheets write `;` where the comma is the decimal point, and UTF-16 with tabs."""
    rows = [("text", '"label, or class"', "label"), ("où", "x", "yes"), ("", "", ""), ("short", "x")]
    whole = "\n".join(delimiter.join(row) for row in rows).replace(2 * delimiter, "").encode(encoding)
    (path := tmp_path / name).write_bytes(gzip.compress(whole) if name.endswith("gz") else whole)
    found = read(path)
    assert found.rows == [Labelled("où", "yes", f"{name} line 2")]
    assert found.refused == [Refused(f"{name} line 4", "not CSV", "2 fields, but the header names 3")]


def test_a_bad_row_of_a_table_costs_no_other(tmp_path: Path) -> None:
    lines = [b"text,label", b'"open,x', b"one,y", b"t\xe9,x", "\ufffd,z".encode(), b"text,label"]
    (tmp_path / "a.csv").write_bytes(b"\n".join(lines) + b"\n")
    found = read(tmp_path / "a.csv")
    assert [(row.where, row.label) for row in found.rows if isinstance(row, Labelled)] == [
        ("a.csv line 3", "y"), ("a.csv line 5", "z")
    ]  # fmt: skip
    assert [(one.where, one.reason) for one in found.refused] == [
        ("a.csv line 2", "not CSV"), ("a.csv line 4", "not UTF-8"), ("a.csv line 6", "repeats the header")
    ]  # fmt: skip
    assert found.refused[1].detail == "save the file as UTF-8; Excel calls it CSV UTF-8"


def test_the_parts_of_a_message_are_its_text_and_others_have_a_reason_of_their_own(tmp_path: Path) -> None:
    """As chat APIs write them. What is no text would be lost, or an answer learned without the call it makes."""

    def asked(content: Any, **more: Any) -> dict[str, Any]:
        return {"messages": [{"role": "user", "content": content} | more, TURNS[2]]}

    def text(words: Any) -> dict[str, Any]:
        return {"type": "text", "text": words, "image_url": None}

    image = {"type": "image_url", "image_url": {"url": "http://a/b.png"}}
    call = {"tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}
    found = read(jsonl(tmp_path, asked([text("See "), text("this.")]), asked("Hi", tool_calls=None)))
    assert [row.messages[0].content for row in found.rows if isinstance(row, Chat)] == ["See this.", "Hi"]
    rows = [asked([text("See"), image]), asked(["See"]), asked(None, **call), asked("See", **call),
            asked([]), asked([text(None)]), {"messages": ["See"]}]  # fmt: skip
    found = read(jsonl(tmp_path, asked("Hi"), *rows))
    assert count_reasons(found.refused) == {
        "message part that is no text": 2, "tool call": 2, "message without text": 3,
    }  # fmt: skip
    assert found.refused[0].detail.startswith("messages, message 1: 'image_url';")


def test_a_row_of_another_kind_is_refused_and_columns_that_are_not_used_are_named(tmp_path: Path) -> None:
    both = {"text": "a", "label": "x", "score": 1, "id": 7}
    found = read(jsonl(tmp_path, both, {"text": "b", "labels": ["y"]}, {"text": "c"}, {"messages": TURNS}))
    assert found.kind == "label"
    assert found.unused == ("score", "id", "labels", "messages")
    assert count_reasons(found.refused) == {"another kind of row": 2, "label missing": 1}
    assert re.search(r"kind labels,.* kind label;", found.refused[0].detail)


PREFERENCE, LABEL = {"prompt": "q", "chosen": "a", "rejected": "b"}, {"text": "a", "label": 1}
REFUSED: dict[str, tuple[dict[str, Any], list[tuple[str, Any]]]] = {
    "chat": ({"messages": TURNS}, [
        ("not JSON", "{"),
        ("no JSON object", "[1]"),
        ("not UTF-8", '{"prompt": "half a pair, \\ud800", "completion": "b"}'),
        ("missing field", {"prompt": "a"}),
        ("completion is a number", {"prompt": "a", "completion": 3}),
        ("missing field", {"prompt": "a", "completion": None}),
        ("empty answer", {"prompt": "a", "completion": " "}),
        ("empty prompt", {"prompt": "", "completion": "b"}),
        ("empty prompt", {"messages": [*TURNS[1:3], {"role": "user", "content": " "}, TURNS[4]]}),
        ("unknown role", {"messages": [{"role": "tool", "content": "x"}]}),
        ("message without text", {"messages": [{"role": "user", "content": None}]}),
        ("no answer", {"messages": TURNS[:2]}),
        ("no question", {"messages": TURNS[2:3]}),
        ("no messages", {"messages": []}),
        ("nothing to learn", {"messages": [TURNS[1], {"role": "assistant", "content": "x", "weight": 0}]}),
        ("weight is neither 0 nor 1", {"messages": [TURNS[1], {"role": "assistant", "content": "x", "weight": "0"}]}),
        ("no answer", {"prompt": "a", "completion": [{"role": "user", "content": "x"}]}),
    ]),
    "label": (LABEL, [
        *(("label missing", LABEL | {"label": label}) for label in (None, "", " ", float("nan"), "nan", "NaN")),
        ("empty text", LABEL | {"text": " "}),
        *(("label is no name", LABEL | {"label": label}) for label in (0.5, "a\x1b[31m", "x" * 101)),
    ]),
    "labels": ({"text": "a", "labels": ["x", 1]}, [
        ("label twice", {"text": "a", "labels": [0, 1, 0]}),
        ("labels are no list", {"text": "a", "labels": 1}),
        ("label is no name", {"text": "a", "labels": [["x"]]}),
        ("missing field", {"text": "a", "labels": None}),
    ]),
    "preference": (PREFERENCE, [
        ("chosen equals rejected", PREFERENCE | {"rejected": " a\n"}),
        ("empty answer", PREFERENCE | {"chosen": ""}),
        ("missing field", PREFERENCE | {"prompt": None}),
        ("empty prompt", PREFERENCE | {"prompt": " "}),
    ]),
}  # fmt: skip
"""Kind -> a good row, and why others cannot be used."""


@pytest.mark.parametrize("kind", REFUSED)
def test_a_row_that_cannot_be_used_is_refused_with_its_line(kind: str, tmp_path: Path) -> None:
    good, bad = REFUSED[kind]
    found = read(jsonl(tmp_path, good, *(row for _, row in bad)))
    assert [(one.where, one.reason) for one in found.refused] == [
        (f"rows.jsonl line {number}", reason) for number, (reason, _) in enumerate(bad, 2)
    ]
    assert (found.kind, len(found.rows)) == (kind, 1)


def test_labels_are_names(tmp_path: Path) -> None:
    whole = (("1", 1.0), ("-2", "-2.0"), ("1.00", "1.00"), ("v1.0", "v1.0"))  # of a column with gaps, and other names
    for name, label in (("true", True), ("false", "false"), *whole):
        assert read(jsonl(tmp_path, {"text": "a", "label": label})).rows == [Labelled("a", name, "rows.jsonl line 1")]
    several = [{"text": "a", "labels": labels} for labels in (["x", 1], [], '["y"]', "['z', 2]", "p; q|", "x")]
    labels = [row.label for row in read(jsonl(tmp_path, *several)).rows if isinstance(row, Labelled)]
    assert labels == [("1", "x"), (), ("y",), ("2", "z"), ("p", "q"), ("x",)]
    assert read(jsonl(tmp_path, {"text": "a", "labels": [2, 7]})).kind == "labels"


@pytest.mark.parametrize(
    ("name", "content", "code", "facts"),
    [
        ("a.jsonl", b'{"prompt": "a", "completion": ""}\n' * 2, "rows.refuse_empty.2", ["2 x empty answer", "line 1"]),
        ("a.jsonl", b'{"satz": "a", "art": "b"}', "formats.read.2", ["satz, art", "1 rows", "--columns"]),
        ("a.csv", b"a text " * 99 + b",b\nmore,c\n", "formats.read.2", ["columns " + "a text " * 5 + "a tex, b (is"]),
        ("a.jsonl", b'[{"text": "a", "label": "b"}]', "rows.refuse_empty.2", ["line 1", "list"]),
        ("a.jsonl", b'[\n {"text": "a",\n "label": "b"}\n]', "rows.refuse_empty.2", ["list"]),
        ("a.jsonl", b'{"text": "o\xf9", "label": "a"}', "rows.refuse_empty.2", ["1 x not UTF-8", "line 1", "0xf9"]),
        (
            "a.csv",
            "text,label\nja,a\nsüß,b\nschön,a\n".encode("cp1252"),
            "rows.refuse_empty.3",
            ["2 rows are not UTF-8, 1 can be used", "line 3", "CSV UTF-8"],
        ),
        ("missing", None, "formats.files_of", []),
        ("a.json", b'[{"text": "a"', "formats._listed.1", []),
        ("a.json", b"3", "formats._listed.2", []),
        ("a.json", b'{"data": [{"paragraphs": [{"context": "a"}]}]}', "formats._listed.2", []),
        ("a.jsonl.gz", gzip.compress(b"", mtime=0), "rows.refuse_empty.1", []),
        ("a.csv.gz", gzip.compress(b"text,label\n" + b"one,y\n" * 100, mtime=0)[:30], "formats._values.2", []),
        ("a.csv", b"text,label\n", "rows.refuse_empty.1", []),
        ("a.csv", b"\x89PNG\0\x01" * 9, "rows.refuse_empty.1", []),
        ("a.jsonl", '{"text"'.encode("utf-16")[:-1], "formats._values.2", []),
        ("a.parquet", b"PAR1", "formats._values.1", []),
    ],
)
def test_nothing_left_is_refused_with_counts_and_the_first_row(
    name: str, content: bytes | None, code: str, facts: list[str], tmp_path: Path
) -> None:
    refuses(lambda: read(tmp_path), "formats.files_of", tmp_path, "to read")
    if content is not None:
        (tmp_path / name).write_bytes(content)
    refuses(lambda: read(tmp_path / name), code, name, *facts)
