"""The files of claims in a signed folder: made of what is recorded, compared as bytes."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.core.files import folder_md5, md5_file, sha256_bytes
from components.stages.account.answers import NotKnown
from components.studies.attestation.claims import STATED, Claims, compared, halves
from components.studies.attestation.renderings import claims_in, differences, renderings, write_renderings
from tests.components.made_claims import made_claims
from tests.errors import refused


@pytest.fixture(scope="module")
def claims(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return made_claims(tmp_path_factory.mktemp("project"))


def not_known(reason: str, is_none: bool = False) -> dict[str, Any]:
    return NotKnown(not_known=reason, is_none=is_none).model_dump()


@pytest.mark.parametrize(
    ("path", "there", "here", "item", "answer"),
    [
        ("md5", "3.dir", "4.dir", "parameters", "no"), ("personal", {"email": 2}, {}, "licences", "no"),
        ("quality", {"scores": []}, {"scores": [1]}, "scores", "no"), ("limits", ["a"], [], "parameters", "no"),
        ("limits", [1], [1, 2], "parameters", "no"), ("a", {"b": None}, {}, "parameters", "no"),
        ("a", 1, True, "parameters", "no"), ("a", {}, [], "parameters", "no"),
        ("lock", {}, not_known("no lock"), "parameters", "unknown"),
        ("data", not_known("rows made elsewhere"), not_known("certified"), "licences", "unknown"),
        ("licence", not_known("free", is_none=True), not_known("empty", is_none=True), "licences", "no"),
        ("licence", "MIT", not_known("empty", is_none=True), "licences", "no"),
    ],
)  # fmt: skip
def test_what_can_be_established_differs_or_is_unknown(
    path: str, there: Any, here: Any, item: str, answer: str
) -> None:
    (row,) = compared({path: there}, {path: here})
    assert (row.item, row.answer) == (item, answer)
    assert row.text.startswith(path)
    if answer == "no" and not isinstance(here, dict):
        assert [row.answer for row in compared({path: here}, {path: there})] == ["no"]
    assert list(compared({path: there}, {path: there})) == []


def test_what_the_signer_states_is_no_part_of_what_can_be_established(claims: dict[str, Any]) -> None:
    """A colleague's own run of the same inputs, or a ledger merged later, made an honest folder differ."""
    tree, stated = halves(Claims.model_validate(claims))
    assert not {"cost", "environment", "commit", "verdict", "owner"} & set(tree)
    assert "champion" not in tree["quality"]
    assert set(tree["rebuild"]) == {"dvc_lock", "model", "command", "experiment"}, "these follow from the chain"
    assert (set(stated), stated["quality.champion"]) == (set(STATED), claims["quality"]["champion"])


def page_of(claims: dict[str, Any]) -> str:
    return renderings(Claims.model_validate(claims))["training-content.md"].decode()


def test_the_training_content_has_what_is_recorded_and_what_the_owner_says(claims: dict[str, Any]) -> None:
    page = page_of(claims | {"owner": {"purpose": "news | letters"}})
    for name, number in claims["data"]["sources"].items():
        assert f"{name} {number}" in page
    assert "| purpose | news \\| letters |\n" in page
    assert "| provider | not known: it is for the owner to say (--owner FILE) |" in page
    own = {"data": {"not_known": "rows made elsewhere"}, "base": "Qwen3-0.6B", "stages": ["finetune@instruct"]}
    alone = page_of(claims | own | {"retrieved": [], "personal": {}})
    for line in ("depends on | Qwen3-0.6B", "data | not known: rows made elsewhere", "replaced | none; names"):
        assert line in alone


def test_rows_that_the_model_was_tuned_on_are_among_its_data(claims: dict[str, Any]) -> None:
    rows = {"path": "/home/a/chats.jsonl", "md5": "7", "size": 70}
    params = {"params.yaml": {"finetune.instruct": {"data": rows["path"]}}}
    base = {"path": "models/pretrain/causal", "md5": "2.dir"}
    tuned = {"cmd": "exec finetune", "deps": [rows, base], "params": params, "outs": []}
    page = page_of(claims | {"lock": claims["lock"] | {"finetune@instruct": tuned}})
    assert "| rows tuned on | /home/a/chats.jsonl (MD5 7) |" in page


# -- as bytes ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(claims: dict[str, Any], tmp_path: Path) -> Path:
    """A folder with a file of a model and the files of claims about it."""
    (folder := tmp_path / "folder").mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    files = {"model.safetensors": sha256_bytes(b"weights")}
    md5 = folder_md5({name: md5_file(folder / name) for name in files})
    write_renderings(Claims.model_validate(claims | {"files": files, "md5": md5}), folder)
    (folder / "model.sig").touch()
    assert differences(folder, claims_in(folder)) == []
    return folder


def test_no_second_value_hides_in_a_file_of_claims(folder: Path) -> None:
    """A reader that takes the first of two equal keys, or a person, would have seen another value."""
    for name in ("README.md", "training-content.md"):
        text = (folder / name).read_text()
        for other in ("\ufeff" + text, "\n" * 50 + text, text + " "):
            (folder / name).write_text(other)
            assert differences(folder, claims_in(folder)) == [f"{name}: not what card.json makes it"]
        (folder / name).write_text(text)
    text = (folder / "card.json").read_text()
    for other in (
        text.replace("{", '{"commit": "evil",', 1), text.replace("{", '{"certified": true,', 1), f"\ufeff{text}",
        f"{text} ", " " * 5_000_001, text.replace('"kwh": [', '"kwh": [0.0,', 1), text[:-2], "", "[]", "[" * 100_000,
    ):  # fmt: skip
        (folder / "card.json").write_text(other)
        with pytest.raises(Exception, match=r"card\.json: |values to unpack"):
            differences(folder, claims_in(folder))


def _linked(target: str) -> Callable[[Path], object]:
    def change(path: Path) -> None:
        path.unlink(missing_ok=True)
        path.symlink_to(target)

    return change


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("evil", Path.mkdir, "nothing that card.json names"), (".git", Path.mkdir, "nothing that card.json names"),
        ("pytorch_model.bin", Path.touch, "nothing that card.json names"),
        ("pipe", os.mkfifo, "nothing that card.json names"),
        ("link", _linked("README.md"), "nothing that card.json names"),
        ("README.md", _linked("ATTRIBUTION.md"), "missing, or no regular file"),
        ("model.safetensors", lambda path: os.link(path, path.parents[1] / "w"), "has another name (a hard link)"),
        ("model.safetensors", lambda path: path.write_bytes(b"Weights"), "not the file that card.json names"),
        ("README.md", lambda path: path.write_bytes(b" " * 5_000_001), "not what card.json makes it"),
    ],
)  # fmt: skip
def test_each_file_of_the_folder_is_the_one_that_the_claims_make_or_name(
    folder: Path, name: str, change: Callable[[Path], object], says: str
) -> None:
    change(folder / name)
    (line,) = differences(folder, claims_in(folder))
    assert line.startswith(f"{name}: {says}")


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "absent.json", "README.md", "model.sig"])
def test_the_claims_name_files_of_the_model_in_the_folder_alone(folder: Path, name: str) -> None:
    claims = claims_in(folder)
    claims.files[name] = "ab" * 32
    assert [line for line in differences(folder, claims) if name in line]
    wrong = differences(folder, claims_in(folder).model_copy(update={"md5": "3.dir"}))
    assert wrong[-1].startswith("card.json: names the model 3.dir, and these files are ")


def test_what_a_check_would_not_read_is_not_written(claims: dict[str, Any], tmp_path: Path) -> None:
    with refused("write_renderings.1", "card.json", "5000000"):
        write_renderings(Claims.model_validate(claims | {"description": "x" * 5_000_000}), tmp_path)
    with refused("write_renderings.2", "README.md"):
        write_renderings(Claims.model_validate(claims | {"files": {"README.md": "0"}}), tmp_path)
