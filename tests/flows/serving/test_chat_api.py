"""The endpoint of a chat model: its folder makes transformers find our answers, and what it lacks is a sentence."""

from pathlib import Path

import pytest

from components.core.errors import UserError
from components.core.files import read_json, write_json
from components.model import export
from components.tokens.tokenizer import train_bpe
from flows.serving import chat_api
from tests.components.model.test_transformer import network


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "instruct"
    export.save(network(), train_bpe([Path(chat_api.__file__).read_text()], 300).to_str(), folder, {})
    return folder


def test_the_answer_is_found_without_its_prompt(model: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    before = {path.name: path.read_bytes() for path in model.iterdir()}
    tokenizer = AutoTokenizer.from_pretrained(chat_api.linked(model, tmp_path))
    chat = [{"role": "user", "content": "two and two"}]
    prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True)["input_ids"]
    whole = tokenizer.apply_chat_template([*chat, {"role": "assistant", "content": "is four"}])["input_ids"]
    parsed = tokenizer.parse_response(
        whole[len(prompt) :], tokenizer.response_template, prefix=tokenizer.decode(prompt)
    )
    assert parsed == {"role": "assistant", "content": "is four"}
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before


def test_all_other_files_are_the_models_own_and_a_second_start_makes_them_anew(model: Path, tmp_path: Path) -> None:
    folder = chat_api.linked(model, tmp_path)
    (folder / "left over").touch()
    assert chat_api.linked(model, tmp_path) == folder == tmp_path / "instruct"
    assert {path.name for path in folder.iterdir()} == {path.name for path in model.iterdir()}
    assert (folder / "model.safetensors").resolve() == (model / "model.safetensors").resolve()


def test_chats_of_a_base_made_elsewhere_are_left_to_transformers(model: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    write_json(foreign / "tokenizer_config.json", {"chat_template": "<|im_start|>"})
    folder = chat_api.linked(foreign, tmp_path / "served")
    assert read_json(folder / "tokenizer_config.json") == {"chat_template": "<|im_start|>"}


def test_what_is_missing_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"no tokenizer_config\.json, so this is no model folder"):
        chat_api.linked(tmp_path, tmp_path / "served")
    monkeypatch.setattr(chat_api, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"OPENAI_PORT needs the extra `serve`: .* '\.\[serve\]', or unset it"):
        chat_api.require_package()
