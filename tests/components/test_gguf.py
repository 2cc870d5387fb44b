"""GGUF files: llama.cpp reads them, with our ids, our text and our chat; what it cannot run is refused."""

import sys
from pathlib import Path

import gguf
import pytest
import torch

from benchmarks.llama_cpp import first_difference, ids, server
from components.gguf import Form, modelfile, write_gguf
from components.model import export
from components.model.transformer import Transformer
from components.tokens.tokenizer import END_OF_TEXT, SPECIAL_TOKENS, Encoder
from tests.components.model.conftest import tokenizer, tokenizer_json
from tests.components.model.test_transformer import network
from tests.errors import refused, refuses

__all__ = ["tokenizer", "tokenizer_json"]

NEAR_TIE = 0.01
QUESTION = {"role": "user", "content": "What does a tensor hold?"}


@pytest.fixture(scope="module")
def sentences() -> list[str]:
    return [line for line in (torch.add.__doc__ or "").splitlines() if line.strip()]


def written(folder: Path, tokenizer_json: str, form: Form = "F32", **model: object) -> tuple[Transformer, Path]:
    """A model with weights large enough that its choices are clear, and its GGUF file."""
    ours = network(True, **model)
    with torch.no_grad():
        for parameter in ours.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.3, generator=torch.Generator().manual_seed(parameter.numel()))
    export.save(ours, tokenizer_json, folder / "model", {"task": {"chat": True}})
    facts = {"general.license": "apache-2.0", "greenhouse.card": "{}", "greenhouse.commit": ""}
    write_gguf(folder / "model", folder / "model.gguf", facts, form)
    return ours, folder / "model.gguf"


@pytest.mark.parametrize("model", [{}, {"kv_heads": 1, "tied": False}])
def test_llama_cpp_has_our_ids_and_writes_our_text(
    model: dict, tokenizer_json: str, sentences: list[str], tmp_path: Path
) -> None:
    ours, path = written(tmp_path, tokenizer_json, **model)
    encoder = Encoder(tokenizer_json)
    texts = [*sentences, *SPECIAL_TOKENS, "<|user|>1234 \n\n\tcafe\u0301 \u0928\u092e\u0938\u094d\u0924\u0947"]
    with server(path, ours.shape.context) as client:
        assert ids(client, texts) == [encoder.encode(text) for text in texts]
        assert ids(client, texts[:1], special=True) == [[END_OF_TEXT, *encoder.encode(texts[0])]]
        prompts = [[END_OF_TEXT, *encoder.encode(text)[:20]] for text in sentences[:12]]
        margins = [first_difference(client, ours, prompt, 16) for prompt in prompts]
    assert all(margin is None or margin < NEAR_TIE for margin in margins), margins
    assert margins.count(None) > len(margins) / 2


@pytest.mark.parametrize("form", ["F32", "F16", "Q8_0"])
def test_a_chat_over_http_is_prompted_as_transformers_would(form: Form, tokenizer_json: str, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    ours, path = written(tmp_path, tokenizer_json, form)
    kinds = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(path).tensors}
    assert (kinds["blk.0.ffn_up.weight"], kinds["output_norm.weight"]) == (form, "F32")
    messages = [{"role": "system", "content": "Be brief."}, QUESTION, {"role": "assistant", "content": "Numbers."}]
    messages.append(QUESTION)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    expected = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    with server(path, ours.shape.context) as client:
        assert client.post("/apply-template", json={"messages": messages}).json()["prompt"] == expected.removeprefix(
            SPECIAL_TOKENS[0]
        )
        body = {"messages": [QUESTION], "max_tokens": 4, "temperature": 0}
        answer = client.post("/v1/chat/completions", json=body).raise_for_status().json()
    assert answer["choices"][0]["message"]["role"] == "assistant"
    question = tokenizer.apply_chat_template([QUESTION], add_generation_prompt=True, tokenize=True)["input_ids"]
    assert answer["usage"]["prompt_tokens"] == len(question)  # llama.cpp puts <|endoftext|> before it as a token


def test_ollamas_template_is_ours(tokenizer_json: str, tmp_path: Path) -> None:
    """Of a turn: what its Go template gives is what the GGUF's own, which Ollama ignores, does."""
    from transformers import AutoTokenizer

    ours, _ = written(tmp_path, tokenizer_json)
    text = modelfile(tmp_path / "model", "model.gguf")
    assert text.startswith("FROM ./model.gguf\n")
    assert text.endswith(f"PARAMETER num_ctx {ours.shape.context}\nPARAMETER stop <|end|>\n")
    turn = (
        text.partition('TEMPLATE """')[2].partition('"""')[0].replace("{{ if .System }}", "").replace("{{ end }}", "")
    )
    for field, said in ((".System", "Be brief."), (".Prompt", QUESTION["content"]), (".Response", "Numbers.")):
        turn = turn.replace(f"{{{{ {field} }}}}", said)
    messages = [{"role": "system", "content": "Be brief."}, QUESTION, {"role": "assistant", "content": "Numbers."}]
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    assert tokenizer.apply_chat_template(messages, tokenize=False) == SPECIAL_TOKENS[0] + turn


def test_a_tokenizer_made_elsewhere_is_refused_by_the_models_name(tmp_path: Path, tokenizer_json: str) -> None:
    """The message named a temporary folder, which is gone."""
    export.save(network(True), tokenizer_json, tmp_path / "model", {})
    (tmp_path / "model/tokenizer.json").write_text("{}")
    with refused("gguf.write_gguf", "ours: finetune/instruct") as caught:
        write_gguf(tmp_path / "model", tmp_path / "model.gguf", {"general.name": "ours: finetune/instruct"})
    assert str(tmp_path) not in str(caught.value)


def test_what_llama_cpp_cannot_run_is_refused(
    tokenizer_json: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export.save(network(False), tokenizer_json, tmp_path / "masked", {})
    with refused("gguf.shape_for_gguf.2", tmp_path / "masked"):
        write_gguf(tmp_path / "masked", tmp_path / "masked.gguf", {})
    refuses(lambda: write_gguf(tmp_path, tmp_path / "none.gguf", {}), "gguf.shape_for_gguf.1", tmp_path, "config.json")
    monkeypatch.setitem(sys.modules, "gguf", None)
    with refused("gguf.library", "pip install -c constraints.txt -e '.[gguf]'"):
        write_gguf(tmp_path / "masked", tmp_path / "masked.gguf", {})
    assert [path.name for path in tmp_path.iterdir()] == ["masked"]
