"""Rows for fine-tuning: what is read from each kind of file, and what is refused with line and reason."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.core.errors import UserError
from components.finetuning_data.formats import read
from components.finetuning_data.rows import Chat, Labelled, Message, Preference, Refused, count_reasons

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
    assert [(one.reason, one.detail) for one in found.refused] == [
        ("message without text", "messages, message 1; give each message a text, or leave the chat out"),
        ("unknown role", "'tool' in message 1; known are system, user, assistant, human, gpt, chatgpt, bing, bard"),
    ]
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
    assert found.refused[1].detail == "0; write it as a text, or as null where there is none"
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
    assert [(one.reason, one.detail) for one in found.refused] == [
        ("not JSON", "the key 'prompt' stands twice in an object; rename one of them")
    ]
    table = pa.Table.from_arrays([pa.array(["a"])] * 3, names=["instruction", "output", "output"])
    pq.write_table(table, tmp_path / "rows.parquet")
    with pytest.raises(UserError, match=r"rows\.parquet: it names output twice; rename one of the columns"):
        read(tmp_path / "rows.parquet")


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
    lines = [b"text,label", b'"open,x', b"one,y", b"t\xe9,x", "\ufffd,z".encode()]
    (tmp_path / "a.csv").write_bytes(b"\n".join(lines) + b"\n")
    found = read(tmp_path / "a.csv")
    assert [(row.where, row.label) for row in found.rows if isinstance(row, Labelled)] == [
        ("a.csv line 3", "y"), ("a.csv line 5", "z")
    ]  # fmt: skip
    assert [(one.where, one.reason) for one in found.refused] == [
        ("a.csv line 2", "not CSV"), ("a.csv line 4", "not UTF-8")
    ]  # fmt: skip
    assert found.refused[1].detail == "save the file as UTF-8"
    (tmp_path / "latin.jsonl").write_bytes('{"text": "où", "label": "x"}'.encode("latin-1"))
    with pytest.raises(UserError, match=r"not UTF-8, first latin\.jsonl line 1 \(.*; save the file as UTF-8\)"):
        read(tmp_path / "latin.jsonl")
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(b"text,label\n" + b"one,y\n" * 100)[:30])
    with pytest.raises(UserError, match="cannot be read to its end"):
        read(tmp_path / "b.csv.gz")


def test_a_folder_is_read_file_by_file(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / f"{name}.csv").write_text(f"text,label\n{name},x\n")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "c.csv").write_text("text,label\nc,x\n")
    assert [row.where for row in read(tmp_path).rows] == ["a.csv line 2", "b.csv line 2"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("{", "not JSON"),
        ("[1]", "no JSON object"),
        ('{"prompt": "half a pair, \\ud800", "completion": "b"}', "not UTF-8"),
        ({"prompt": "a"}, "missing field"),
        ({"prompt": "a", "completion": 3}, "completion is a number"),
        ({"prompt": "a", "completion": None}, "missing field"),
        ({"prompt": "a", "completion": " "}, "empty answer"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "unknown role"),
        ({"messages": [{"role": "user", "content": None}]}, "message without text"),
        ({"messages": TURNS[:2]}, "no answer"),
        ({"messages": TURNS[2:3]}, "no question"),
        ({"messages": []}, "no messages"),
        ({"messages": [TURNS[1], {"role": "assistant", "content": "x", "weight": 0}]}, "nothing to learn"),
        ({"messages": [TURNS[1], {"role": "assistant", "content": "x", "weight": "0"}]}, "weight is neither 0 nor 1"),
        ({"prompt": "a", "completion": [{"role": "user", "content": "x"}]}, "no answer"),
    ],
)
def test_a_row_that_cannot_be_used_is_refused_with_its_line(row: Any, reason: str, tmp_path: Path) -> None:
    found = read(jsonl(tmp_path, {"messages": TURNS}, row))
    assert [(one.where, one.reason) for one in found.refused] == [("rows.jsonl line 2", reason)]
    assert len(found.rows) == 1


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
    assert found.refused[0].detail == "messages, message 1: 'image_url'; give parts of the type 'text'"


def test_what_is_wrong_is_said_of_the_row_itself(tmp_path: Path) -> None:
    """Not of a line 2 of line 1, and not of messages where a class was meant."""
    found = read(jsonl(tmp_path, {"prompt": "a", "completion": "b"}, '{"prompt": "x", "completion":', '{"a": b}',
                       {"prompt": "a", "completion": 7}))  # fmt: skip
    assert [one.detail for one in found.refused] == [
        "Expecting value after 29 characters", "Expecting value after 5 characters",
        '7; write it as a text, "7", or a class as `text` and `label`',
    ]  # fmt: skip


def test_a_row_of_another_kind_is_refused_and_columns_that_are_not_used_are_named(tmp_path: Path) -> None:
    both = {"text": "a", "label": "x", "score": 1, "id": 7}
    found = read(jsonl(tmp_path, both, {"text": "b", "labels": ["y"]}, {"text": "c"}, {"messages": TURNS}))
    assert found.kind == "label"
    assert found.unused == ("score", "id", "labels", "messages")
    assert count_reasons(found.refused) == {"another kind of row": 2, "label missing": 1}
    assert found.refused[0].detail == "it is of kind labels, and the first was of kind label; give one kind"


def test_a_csv_that_names_a_column_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label,text\na,b,c\n")
    with pytest.raises(UserError, match=r"a\.csv: it names text twice; rename one of the columns"):
        read(tmp_path / "a.csv")


def test_a_header_that_comes_again_is_no_row(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\na,x\ntext,label\nb,y\n")
    found = read(tmp_path / "a.csv")
    assert [(one.where, one.reason) for one in found.refused] == [("a.csv line 3", "repeats the header")]
    assert len(found.rows) == 2


def test_labels_and_preferences_are_checked(tmp_path: Path) -> None:
    good = {"text": "a", "label": 1}
    bad = ({"text": "a", "label": None}, {"text": "a", "label": ""}, {"text": " ", "label": 1},
           {"text": "a", "label": 0.5})  # fmt: skip
    found = read(jsonl(tmp_path, good, *bad))
    assert count_reasons(found.refused) == {"label missing": 2, "empty text": 1, "label is no name": 1}
    for missing in (float("nan"), "nan", "NaN", " "):
        assert count_reasons(read(jsonl(tmp_path, good, {"text": "a", "label": missing})).refused) == {
            "label missing": 1
        }
    assert found.refused[3].detail.startswith("0.5 (float); a class has a whole number or a text as name")
    whole = (("1", 1.0), ("-2", "-2.0"), ("1.00", "1.00"), ("v1.0", "v1.0"))  # of a column with gaps, and other names
    for name, label in (("true", True), ("false", "false"), *whole):
        assert read(jsonl(tmp_path, {"text": "a", "label": label})).rows == [Labelled("a", name, "rows.jsonl line 1")]
    several = ({"text": "a", "labels": ["x", 1]}, {"text": "a", "labels": [0, 1, 0]},
               {"text": "a", "labels": []}, {"text": "a", "labels": '["y"]'},
               {"text": "a", "labels": 1}, {"text": "a", "labels": "x"}, {"text": "a", "labels": [["x"]]},
               {"text": "a", "labels": None})  # fmt: skip
    found = read(jsonl(tmp_path, *several))
    assert [row.label for row in found.rows if isinstance(row, Labelled)] == [("1", "x"), (), ("y",)]
    assert count_reasons(found.refused) == {
        "labels are no list": 2, "label twice": 1, "label is no name": 1, "missing field": 1,
    }  # fmt: skip
    for name in ("a\x1b[31m", "x" * 101):
        found = read(jsonl(tmp_path, {"text": "a", "label": name}, {"text": "a", "label": "b"}))
        assert count_reasons(found.refused) == {"label is no name": 1}
    good = {"prompt": "q", "chosen": "a", "rejected": "b"}
    same, empty, none = good | {"rejected": " a\n"}, good | {"chosen": ""}, good | {"prompt": None}
    found = read(jsonl(tmp_path, good, same, empty, none, good | {"prompt": " "}))
    assert [one.reason for one in found.refused] == [
        "chosen equals rejected", "empty answer", "missing field", "empty prompt",
    ]  # fmt: skip


def test_a_chat_with_an_empty_prompt_is_refused(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    blank = {"messages": [*turns, {"role": "user", "content": " "}, turns[1]]}
    found = read(jsonl(tmp_path, {"messages": turns}, {"prompt": "", "completion": "b"}, blank))
    assert [(one.where, one.reason) for one in found.refused] == [
        ("rows.jsonl line 2", "empty prompt"), ("rows.jsonl line 3", "empty prompt"),
    ]  # fmt: skip
    assert len(found.rows) == 1


def test_nothing_left_is_refused_with_counts_and_the_first_row(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"2 x empty answer, first rows\.jsonl line 1"):
        read(jsonl(tmp_path, *[{"prompt": "a", "completion": ""}] * 2))
    with pytest.raises(UserError, match=r"columns satz, art; say which they are, such as --columns text=COLUMN,label"):
        read(jsonl(tmp_path, {"satz": "a", "art": "b"}))
    for whole in ('[{"text": "a", "label": "b"}]', '[\n {"text": "a",\n "label": "b"}\n]'):
        (tmp_path / "list.jsonl").write_text(whole)
        with pytest.raises(UserError, match=r"first list\.jsonl line 1 \(.* name a file that is one list \.json"):
            read(tmp_path / "list.jsonl")
    (tmp_path / "latin.jsonl").write_bytes('{"text": "où", "label": "a"}'.encode("latin-1"))
    with pytest.raises(UserError, match=r"1 x not UTF-8, first latin\.jsonl line 1 \(.*0xf9"):
        read(tmp_path / "latin.jsonl")
    with pytest.raises(UserError, match="nothing of that name"):
        read(tmp_path / "missing.jsonl")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="nothing to read"):
        read(tmp_path / "empty")
    for broken, said in (('[{"text": "a"', "not JSON"), ("3", "its JSON is not of rows"),
                         ('{"data": [{"paragraphs": [{"context": "a"}]}]}', "its JSON is not of rows")):  # fmt: skip
        (tmp_path / "rows.json").write_text(broken)
        with pytest.raises(UserError, match=rf"rows\.json: {said}"):
            read(tmp_path / "rows.json")
    (tmp_path / "empty.jsonl.gz").write_bytes(gzip.compress(b""))
    with pytest.raises(UserError, match=r"it is empty; give a file with rows"):
        read(tmp_path / "empty.jsonl.gz")
    for name, content in (("header.csv", b"text,label\n"), ("picture.csv", b"\x89PNG\0\x01" * 9)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=rf"{name}: it has no row, or none below a header; is it text"):
            read(tmp_path / name)
    (tmp_path / "half.jsonl").write_bytes('{"text"'.encode("utf-16")[:-1])
    with pytest.raises(UserError, match=r"cannot be read to its end .*; write it again"):
        read(tmp_path / "half.jsonl")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match="no whole parquet file"):
        read(tmp_path / "broken.parquet")
