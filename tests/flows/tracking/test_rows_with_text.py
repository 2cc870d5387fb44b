"""What forgetting finds outside the corpora: rows of one's own and evaluation items."""

import json
from pathlib import Path

import pytest

from components.lineage.documents import Query
from components.lineage.quotes import Quotes
from components.params import document
from flows.system import params_file, paths
from flows.tracking.rows_with_text import files_with

DOCUMENT = "Who walks here at night with a lantern and no hat at all, asked the miller of the third house."
ADDRESS = "jane.doe@mail.org"


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Rows of one's own in a checkout that is tuned on them, and an evaluation item that quotes the same document."""
    values = [{"prompt": f"Number {n}?", "completion": f"{n}."} for n in range(6)]
    values[2]["completion"] = f"It begins: {DOCUMENT[:70]}"
    values[4] = {"prompt": [{"role": "user", "content": f"Write to\n{ADDRESS}"}], "note": "no row, but read"}  # type: ignore[dict-item]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in values) + "no JSON\n")
    (tmp_path / "eval_sets" / "mine").mkdir(parents=True)
    (tmp_path / "eval_sets" / "mine" / "items.txt").write_text(f"An item.\n{DOCUMENT}\n")
    (tmp_path / "eval_sets" / "README.md").write_text("Put the evaluation sets here.")
    text = params_file.edited(document.params_text(), {"finetune.instruct.data": str(path)})
    (tmp_path / "params.yaml").write_text(text)
    (tmp_path / "defaults.yaml").write_text(document.defaults_text())
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    return str(path)


def found(kind: str, value: str, *texts: str) -> list[tuple[str, str, list[str]]]:
    return [(one.key, one.path, one.places) for one in files_with(Query(kind, value), Quotes((), texts))]


def test_rows_and_items_that_hold_a_text_are_named(rows: str) -> None:
    row, item = "finetune.instruct.data", ("filter.decontaminate.items", "eval_sets", ["mine/items.txt"])
    assert found("id", "0" * 16, DOCUMENT) == [(row, rows, ["rows.jsonl line 3"]), item]
    assert found("passage", "a lantern and no hat") == [(row, rows, ["rows.jsonl line 3"]), item]
    assert found("email", ADDRESS.upper()) == [(row, rows, ["rows.jsonl line 5"])]
    assert found("id", "0" * 16, "a text of which nobody ever quoted so much as eight words in a row") == []


def test_what_cannot_be_read_is_said(rows: str) -> None:
    Path(rows).rename(Path(rows).with_suffix(".parquet"))
    (root := Path(rows).parent / "params.yaml").write_text(root.read_text().replace("rows.jsonl", "rows.parquet"))
    (one,) = files_with(Query("email", ADDRESS), Quotes((), ()))
    assert one.line().startswith(f"finetune.instruct.data = {Path(rows).with_suffix('.parquet')}: not searched: ")
