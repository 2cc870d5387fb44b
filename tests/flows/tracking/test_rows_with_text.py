"""What forgetting finds outside the corpora: rows of one's own and evaluation items."""

import json
from pathlib import Path

import pytest

from components.core.files import folder_md5, md5_file
from components.lineage.documents import Query
from components.lineage.quotes import Quotes
from components.params import document
from flows.system import params_file, paths
from flows.tracking.rows_with_text import files_with
from flows.tracking.snapshots import Snapshot

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


def state(name: str, path: str, md5: str) -> Snapshot:
    """A state whose instruct model was tuned on a file of rows."""
    entry = {
        "params": {"params.yaml": {"finetune.instruct": {"data": path, "base": "/hub/base"}}},
        "deps": [
            {"path": "/hub/base", "md5": "0.dir"},
            {"path": path.removeprefix("./"), "md5": md5},
            {"path": "components", "md5": "1"},
        ],
        "outs": [{"path": "models/finetune/instruct", "md5": "2.dir"}],
    }
    return Snapshot(name, "workspace", {"finetune@instruct": entry})


def test_rows_that_a_model_was_tuned_on_are_searched_though_params_yaml_is_put_back(rows: str) -> None:
    root = Path(rows).parent
    (root / "params.yaml").write_text(document.params_text())
    (root / "folder").mkdir()
    (root / "folder" / "a.jsonl").write_bytes(Path(rows).read_bytes())
    folder = folder_md5({"a.jsonl": md5_file(Path(rows))})
    query = Query("email", ADDRESS)
    assert files_with(query, Quotes((), ())) == []
    states = [state("workspace", rows, md5_file(Path(rows))), state("run-a", rows, md5_file(Path(rows))),
              state("run-b", "./folder", folder)]  # fmt: skip
    file, in_folder = files_with(query, Quotes((), ()), states)
    stage = "finetune@instruct"
    assert file.line() == f"rows of {stage} of workspace, {stage} of run-a = {rows}: rows.jsonl line 5"
    assert (file.md5, file.unread) == (md5_file(Path(rows)), False)
    assert in_folder.places == ["a.jsonl line 5"]
    assert (in_folder.key, in_folder.md5) == (f"rows of {stage} of run-b", folder)


def test_rows_that_params_yaml_names_are_searched_once(rows: str) -> None:
    (one,) = files_with(Query("email", ADDRESS), Quotes((), ()), [state("workspace", rows, md5_file(Path(rows)))])
    assert (one.key, one.md5) == ("finetune.instruct.data", md5_file(Path(rows)))


def test_rows_that_are_gone_or_changed_are_said_not_to_be_searched_in_one_line(rows: str) -> None:
    earlier = [state("workspace", rows, "5"), state("run-a", rows, "6"), state("run-b", "gone.jsonl", "7")]
    now, changed, gone = files_with(Query("email", ADDRESS), Quotes((), ()), earlier)
    assert (now.key, now.unread, changed.unread, gone.unread) == ("finetune.instruct.data", False, True, True)
    assert changed.line().startswith(
        f"rows of finetune@instruct of workspace, finetune@instruct of run-a = {rows}: not searched: it is gone, or not"
    )
    assert gone.path == "gone.jsonl"


def test_what_cannot_be_read_is_said(rows: str) -> None:
    Path(rows).rename(Path(rows).with_suffix(".parquet"))
    (root := Path(rows).parent / "params.yaml").write_text(root.read_text().replace("rows.jsonl", "rows.parquet"))
    (one,) = files_with(Query("email", ADDRESS), Quotes((), ()))
    assert one.line().startswith(f"finetune.instruct.data = {Path(rows).with_suffix('.parquet')}: not searched: ")
