"""What stood in a branch of params.yaml before rows of one's own: kept once, put back, dropped."""

from pathlib import Path

import pytest

from components.core.errors import UserError
from components.params import FinetuneBranches, Instruct, Params, Prefer
from flows.system.params_record import ParamsRecord


def params(**branches: object) -> Params:
    return Params(finetune=FinetuneBranches(**branches))  # type: ignore[arg-type]


def test_what_was_before_the_first_rows_is_put_back(tmp_path: Path) -> None:
    record = ParamsRecord(tmp_path / "record.json")
    first, rows = params(instruct=Instruct(steps=6)), params(instruct=Instruct(steps=9, data="/rows"))
    record.keep({"instruct"}, first, "first", "rows")
    record.keep({"instruct"}, rows, "rows", "other rows")
    assert record.restored(["instruct", "classify"], rows)["finetune.instruct.steps"] == 6
    assert record.text({"instruct"}, "other rows") == "first"
    assert not record.text({"instruct"}, "edited since")
    record.forget(["classify"])
    assert record.restored(["instruct"], rows)["finetune.instruct.steps"] == 6
    record.forget(["instruct"])
    assert not record.path.exists()
    assert record.restored(["instruct"], rows)["finetune.instruct.steps"] == 100, "not on record: as it ships"
    assert not record.restored(["instruct"], first), "nothing of one's own"


def test_rows_that_are_not_on_record_do_not_come_back_with_the_text(tmp_path: Path) -> None:
    record = ParamsRecord(tmp_path / "record.json")
    before = params(prefer=Prefer(base="models/finetune/instruct", data="/pairs"))
    record.keep({"instruct"}, before, "before", "after")
    now = params(instruct=Instruct(data="/rows"), prefer=before.finetune.prefer)
    values = record.restored(["instruct", "prefer"], now)
    assert values["finetune.prefer.data"] == ""
    assert not record.text({key.split(".")[1] for key in values}, "after")
    record.keep({"instruct"}, before, "put back by hand", "after")
    assert record.restored(["instruct"], now)["finetune.instruct.data"] == "data/bias/train"


def test_a_damaged_record_says_what_to_do(tmp_path: Path) -> None:
    (path := tmp_path / "record.json").write_text("{")
    with pytest.raises(UserError, match="and remove that file"):
        ParamsRecord(path).restored(["instruct"], Params())
