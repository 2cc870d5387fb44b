"""Files as people have them: which columns are taken for what, and what the first row becomes."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.finetuning_data.columns import parsed
from components.finetuning_data.formats import heldout_files, read
from components.finetuning_data.rows import Chat, Labelled, Preference
from tests.errors import refused, refuses

SQUAD = {"version": "1.1", "data": [{"title": "Oslo", "paragraphs": [{"context": "Oslo lies in Norway.", "qas": [
    {"id": "1", "question": "Where?", "answers": [{"text": "Norway", "answer_start": 13}, {"text": "in Norway"}]},
    {"id": "2", "question": "Why?", "answers": [], "is_impossible": True},
]}]}]}  # fmt: skip
FLAT = {"id": "1", "title": "Oslo", "context": "Oslo lies in Norway.", "question": "Where?"}
TOLD = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}]
SAID = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
WORSE = [SAID[0], {"role": "assistant", "content": "No."}]
CHAT, ANSWERED = ("Hi", "Hello."), ("Oslo lies in Norway.\n\nWhere?", "Norway")
PREFERRED = ("Hi", "Hello.", "No.")
FILES: dict[str, tuple[str, Any, str, tuple[str, ...]]] = {
    "alpaca.json": ("prompt=instruction+input,completion=output",
                    [{"instruction": "Add.", "input": "1 2", "output": "3"}], "chat", ("Add.\n\n1 2", "3")),
    "dolly.jsonl": ("prompt=instruction+context,completion=response",
                    [{"instruction": "Add.", "context": "1 2", "response": "3", "category": "sums"}], "chat",
                    ("Add.\n\n1 2", "3")),
    "sharegpt.json": ("messages=conversations", [{"id": "x", "conversations": TOLD}], "chat", CHAT),
    "openai.jsonl": ("messages=messages", [{"messages": SAID}], "chat", CHAT),
    "one.json": ("messages=messages", {"messages": SAID}, "chat", CHAT),
    "evals.jsonl": ("prompt=input,completion=ideal", [{"input": SAID[:1], "ideal": ["Hello.", "Hey"]}], "chat", CHAT),
    "qa.csv": ("prompt=Question,completion=Answer", "Question,Answer\nHi,Hello.\n", "chat", CHAT),
    "squad.json": ("prompt=context+question,completion=answers.text", SQUAD, "chat", ANSWERED),
    "squad.parquet": ("prompt=context+question,completion=answers.text",
                      [FLAT | {"answers": {"text": ["Norway"], "answer_start": [13]}}], "chat", ANSWERED),
    "reviews.csv": ("text=review,label=sentiment", "review,sentiment\nGood,positive\n", "label", ("Good", "positive")),
    "news.tab": ("text=Text,label=Category", "Text\tCategory\nGood\tpositive\n", "label", ("Good", "positive")),
    "shop.csv": ("text=Customer Review,label=Star Label",
                 "Review ID,Customer Review,Star Label\n1,Good,five\n", "label", ("Good", "five")),
    "faq.csv": ("prompt=User Question,completion=Bot Answer", "User Question,Bot Answer\nHi,Hello.\n", "chat", CHAT),
    "tags.jsonl": ("text=content,labels=categories", [{"content": "a", "categories": ["x", "y"]}], "labels",
                   ("a", "x", "y")),
    "nli.jsonl": ("text=premise+hypothesis,label=label", [{"premise": "a", "hypothesis": "b", "label": 1}], "label",
                  ("a\n\nb", "1")),
    "snli.tsv": ("text=sentence1+sentence2,label=gold_label", "gold_label\tsentence1\tsentence2\nneutral\ta\tb\n",
                 "label", ("a\n\nb", "neutral")),
    "wikiqa.csv": ("text=question+answer,label=label", "question,answer,label\na,b,0\n", "label", ("a\n\nb", "0")),
    "dpo.parquet": ("prompt=prompt,chosen=chosen,rejected=rejected",
                    [{"prompt": "Hi", "chosen": "Hello.", "rejected": "No."}], "preference", PREFERRED),
    "dpo.jsonl": ("chosen=chosen,rejected=rejected", [{"chosen": SAID, "rejected": WORSE}], "preference", PREFERRED),
    "dpo.json": ("prompt=conversations,chosen=chosen,rejected=rejected",
                 [{"conversations": TOLD[:1], "chosen": TOLD[1], "rejected": {"from": "gpt", "value": "No."}}],
                 "preference", PREFERRED),
    "hh.jsonl": ("chosen=chosen,rejected=rejected",
                 [{"chosen": "\n\nHuman: Hi\n\nAssistant: Hello.", "rejected": "\n\nHuman: Hi\n\nAssistant: No."}],
                 "preference", PREFERRED),
    "openai-dpo.jsonl": ("prompt=input.messages,chosen=preferred_output,rejected=non_preferred_output",
                         [{"input": {"messages": SAID[:1], "tools": []}, "preferred_output": SAID[1:],
                           "non_preferred_output": WORSE[1:]}], "preference", PREFERRED),
}  # fmt: skip
"""Name -> content, the mapping that is guessed, the kind and the words of its first row."""


def written(folder: Path, name: str, content: Any) -> Path:
    path = folder / name
    if name.endswith("parquet"):
        pq.write_table(pa.Table.from_pylist(content), path)
    elif name.endswith("jsonl"):
        path.write_text("".join(json.dumps(row) + "\n" for row in content))
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def words(row: Any) -> tuple[str, ...]:
    if isinstance(row, Chat):
        return tuple(message.content for message in row.messages)
    if isinstance(row, Preference):
        return (row.text, row.chosen, row.rejected)
    return (row.text, *([row.label] if isinstance(row.label, str) else row.label))


@pytest.mark.parametrize("name", FILES)
def test_files_are_read_as_they_come(name: str, tmp_path: Path) -> None:
    columns, content, kind, expected = FILES[name]
    found = read(written(tmp_path, name, content))
    assert (found.kind, found.columns, words(found.rows[0])) == (kind, parsed(columns), expected)
    assert {one.reason for one in found.refused} <= {"missing field"}, "questions without an answer alone"
    if len(found.columns) > 1 and kind != "labels":
        assert words(read(tmp_path / name, parsed(columns)).rows[0]) == expected


LIKED, WHY = "A film that one sees twice, {0}", "Why does it rain in year {0}?"
RAINS = "It rains for the {0}. time."
HEADERS: dict[str, tuple[str, str]] = {
    "\ufeffNr;Customer Review;Stars Given": (f"{{0}};{LIKED};{{1}}", "text=Customer Review,label=Stars Given"),
    "Kundenmeinung;Sterne": (f"{LIKED};{{1}}", "text=Kundenmeinung,label=Sterne"),
    "titre,avis du client,note": (f"Film {{0}},'{LIKED}',{{1}}", "text=avis du client,label=note"),
    "OPINIÓN\tPUNTUACIÓN": (f"{LIKED}\t{{1}}", "text=OPINIÓN,label=PUNTUACIÓN"),
    "id,评论,星级": ("{0},这部电影很好看{0},{1}", "text=评论,label=星级"),
    "RowNumber,reviewBody,StarsGiven,storeCountry": (
        f"{{0}},'{LIKED}',{{1}},{{1}}0", "text=reviewBody,label=StarsGiven"),
    "What they wrote ,Overall Rating (1-5),Shop": (
        f"'{LIKED}',{{1}},s{{1}}", "text=What they wrote,label=Overall Rating (1-5)"),
    "col_0|col_1": (f"{{1}}|{LIKED}", "text=col_1,label=col_0"),
    "Frage;Antwort": (f"{WHY};{RAINS}", "prompt=Frage,completion=Antwort"),
    "A_body;Q_body": (f"{RAINS};{WHY}", "prompt=Q_body,completion=A_body"),
    "Seite;Ort": ("{0};{1}", ""),
    "Meinung;Stars;Shop": (f"{LIKED};;{{1}}", ""),
    "Meinung;Shop;Score": (f"{LIKED};{{1}};{{0}}", ""),
    "Bericht;Land;Jahr": (f"{LIKED};{{1}};{{1}}", ""),
}  # fmt: skip
"""Header -> a row in which {0} is its number and {1} one of three classes; the mapping, if there is one."""


@pytest.mark.parametrize("header", HEADERS)
def test_columns_of_any_name_are_guessed_by_what_they_hold(header: str, tmp_path: Path) -> None:
    row, mapping = HEADERS[header]
    lines = [header, *(row.format(number, number * 3 // 20).replace("'", '"') for number in range(20))]
    path = written(tmp_path, "a.csv", "\n".join(lines))
    if mapping:
        found = read(path)
        assert (found.columns, len(found.rows)) == (dict(pair.split("=") for pair in mapping.split(",")), 20)
    else:
        refuses(lambda: read(path), "formats.read.2", "a.csv", "--columns")


def test_columns_can_be_named(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "text,label,summary,genre\na,b,c,d\ne,f,,h\n")
    found = read(path, parsed(" text=summary, label=genre"))
    assert found.rows == [Labelled("c", "d", "a.csv line 2")]
    assert (found.unused, found.refused[0].reason) == (("text", "label"), "empty text")
    for part in ({"label": "genre"}, {"text": "summary"}):
        other = {"text": "text", "label": "label"} | part
        assert read(path, parsed(",".join(map("=".join, part.items())))).columns == other
    (odd := tmp_path / "odd.csv").write_text(
        "Seite,Ort,Art\n" + "".join(f"a long page of text {n},{n % 2},x{n % 3}\n" for n in range(20))
    )
    assert read(odd, parsed("label=Art")).columns == {"text": "Seite", "label": "Art"}
    assert parsed('"text=Text, frei (v1)", label=A+B=C') == {"text": "Text, frei (v1)", "label": "A+B=C"}
    for twice in ({"text": "summary", "label": "summary"}, {"text": "text+summary", "label": "summary"}):
        with refused("columns.refuse_shared", "a.csv", "text and label", "summary"):
            read(path, twice)
    with refused("formats.read.1", "a.csv", "sumary", "text, label, summary, genre"):
        read(path, parsed("text=sumary,label=genre"))
    nested = tmp_path / "b.jsonl"
    nested.write_text('{"query": {"by": {"text": "where is it"}}, "meta": {"intent": "track"}}\n')
    assert read(nested, {"text": "query.by.text", "label": "meta.intent"}).rows[0].text == "where is it"
    refuses(
        lambda: read(nested, {"text": "query.by.text", "label": "meta.intention"}), "formats.read.1", "meta.intention"
    )
    short = written(tmp_path, "c.csv", "Meinung,Ort\na long page of text,a\na long page again,b\n")
    refuses(lambda: read(short), "formats.read.2", "contents of so few cannot tell, of 2 rows")
    for wrong in ("text", "text=a,completion=b", "text=a,class=b", "text=,label=b"):
        with refused("columns.parsed", f"--columns {wrong}", "text=COLUMN,label=COLUMN"):
            parsed(wrong)


def test_descriptions_beside_files_are_no_rows_and_parts_are_known(tmp_path: Path) -> None:
    for name, content in (("train-00000-of-00001.parquet", [{"text": "a", "label": "x"}]), ("dataset_info.json", {})):
        written(tmp_path, name, content)
    assert [row.where for row in read(tmp_path).rows] == ["train-00000-of-00001.parquet row 1"]
    held = ("dev-v2.0.json", "validation_matched.jsonl", "reuters-test.tab", "test-00000-of-00001.parquet")
    assert heldout_files(["train.json", "test-notes.json", "latest.json", *held]) == held
