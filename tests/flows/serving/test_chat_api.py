"""The chat endpoint: the client of OpenAI gets our answers, bounded by the context; what is wrong is a sentence."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest

from components.core.errors import UserError
from components.core.files import read_json, write_json
from components.model import export
from components.tokens.tokenizer import train_bpe
from flows import up
from flows.chat import Sampling, open_chat
from flows.serving import chat_api
from flows.system import paths
from flows.system.prefect_server import free_port, healthy
from tests.components.model.test_transformer import network

CONTEXT = 160
"""Of `network()`."""


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
    write_json(foreign / "config.json", {"architectures": ["Qwen3ForCausalLM"]})
    folder = chat_api.linked(foreign, tmp_path / "served")
    assert read_json(folder / "tokenizer_config.json") == {"chat_template": "<|im_start|>"}


def test_what_is_missing_is_a_sentence(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"no tokenizer_config\.json, so this is no model folder"):
        chat_api.linked(tmp_path, tmp_path / "served")
    write_json(tmp_path / "tokenizer_config.json", {})
    write_json(tmp_path / "config.json", {"architectures": ["EuroBertForMaskedLM"]})
    with pytest.raises(UserError, match="a model of the kind EuroBertForMaskedLM writes no text"):
        chat_api.linked(tmp_path, tmp_path / "served")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UserError, match="Address already in use; choose another"):
            chat_api.serve(model, taken.getsockname()[1])
    monkeypatch.setattr(chat_api, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"OPENAI_PORT needs the extra `serve`: .* '\.\[serve\]', or unset it"):
        chat_api.require_package()


@pytest.fixture(scope="module")
def address(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of the model, started as `make up` starts it."""
    folder, port = tmp_path_factory.mktemp("endpoint"), free_port()
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.serving.chat_api", str(model), "--port", str(port)], cwd=paths.ROOT,
            env=os.environ | {"GREENHOUSE_STATE": str(folder / "state")}, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        assert healthy(f"http://127.0.0.1:{port}/health", 180, process), (folder / "log").read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def client(address: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)


def test_make_up_starts_it_waits_for_it_and_stops_it(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("require_prefect", "require_mlflow", "on_signals"):  # of servers that are not part of this
        monkeypatch.setattr(up, name, lambda *_: None)
    for name in ("LOGS", "SERVERS"):
        monkeypatch.setattr(paths, name, tmp_path / name)
    paths.LOGS.mkdir()
    chosen = up.ServerPlan(0, 0, "", "", "", openai_port=free_port(), chat_model=model)
    with up.Servers() as servers:
        up.start_servers(servers, chosen)
        found = httpx.get(f"http://127.0.0.1:{chosen.openai_port}/v1/models").json()["data"]
        (child,) = servers
    assert [one["id"] for one in found] == ["instruct"]
    assert child.process.poll() is not None


QUESTION = "def main"
ASKED = [{"role": "user", "content": QUESTION}]
"""What stands in the text that the tokenizer was made of."""


def ask(client: openai.OpenAI, messages: object, **more: object) -> openai.types.chat.ChatCompletion:
    return client.chat.completions.create(**{"model": "instruct", "messages": messages} | more)  # type: ignore[call-overload]


def test_openais_client_gets_the_answer_that_make_chat_gives(client: openai.OpenAI, model: Path) -> None:
    ours, _ = open_chat(model, Sampling(max_tokens=20, temperature=0))
    ours.instruct = True
    expected = ours.answer(QUESTION, lambda text: None)
    assert len(expected.pieces) == 20
    got = ask(client, ASKED, max_completion_tokens=20, temperature=0)
    assert [one.id for one in client.models.list()] == ["instruct"]
    assert got.choices[0].message.content == expected.text
    assert got.usage
    assert (got.usage.prompt_tokens, got.usage.completion_tokens) == (1 + len(ours.question(QUESTION)), 20)
    parts = [{"type": "text", "text": QUESTION[:3]}, {"type": "text", "text": QUESTION[3:]}]
    assert ask(client, [{"role": "user", "content": parts}], max_tokens=20, temperature=0).choices == got.choices
    stream = client.chat.completions.create(model="instruct", messages=ASKED, max_tokens=20, temperature=0, stream=True)  # type: ignore[call-overload]
    streamed = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert streamed == expected.text.rstrip("\N{REPLACEMENT CHARACTER}")  # half a character at the end is not sent


def test_answers_are_sampled_by_temperature_and_seed(client: openai.OpenAI) -> None:
    usual = Sampling()
    assert {"do_sample": True, "temperature": usual.temperature, "top_p": usual.top_p} == chat_api.SAMPLED

    def answer(**asked: object) -> str | None:
        return ask(client, ASKED, max_tokens=20, **asked).choices[0].message.content

    assert answer(seed=1) == answer(seed=1)
    assert len({answer(seed=seed, temperature=2) for seed in range(4)}) == 4
    assert answer(seed=1, temperature=0) == answer(seed=2, temperature=0)


def test_an_answer_ends_where_the_context_does(client: openai.OpenAI) -> None:
    for more in ({}, {"max_tokens": 5000}):
        answer = ask(client, ASKED, temperature=0, **more)
        assert answer.usage
        assert answer.usage.total_tokens == CONTEXT
        assert answer.choices[0].finish_reason == "length"
    text = client.completions.create(model="instruct", prompt=QUESTION, temperature=0)
    assert text.usage
    assert text.usage.total_tokens == CONTEXT


@pytest.mark.parametrize(
    ("messages", "more", "said"),
    [
        ([{"role": "wizard", "content": "x"}], {}, "unknown role wizard; known are system, user and assistant"),
        ([], {}, "messages: List should have at least 1 item"),
        ("x", {}, "messages: Input should be a valid list"),
        ([{"role": "user"}], {}, "messages.0.content: Field required"),
        (
            [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}],
            {},
            "messages.0.content.0.type: Input should be 'text'",
        ),
        (ASKED, {"model": "gpt2"}, "model: 'instruct' is served here and no other; 'gpt2' was asked"),
        (ASKED, {"max_tokens": "many"}, "max_tokens: Input should be a valid integer"),
        (ASKED, {"temperature": -1}, "temperature: Input should be greater than or equal to 0"),
        (ASKED, {"seed": 1 << 70}, "seed: Input should be less than"),
        (ASKED, {"n": 2}, "n: not served; leave it out"),
        (ASKED, {"stop": "a"}, "stop: not served; leave it out"),
        (ASKED, {"extra_body": {"top_k": 3}}, "top_k: not served; leave it out"),
        (ASKED, {"extra_body": {"chat_template_kwargs": {"chat_template": "{{ 1/0 }}"}}}, "chat_template_kwargs: not"),
        ([{"role": "user", "content": "Why?<|end|>"}], {}, "a text has <|end|>, which is a token of the chat format"),
        ([{"role": "user", "content": "x y " * 300}], {}, f"tokens, and the model's context has {CONTEXT}; shorten"),
        ([{"role": "user", "content": "x" * (2 << 20)}], {}, "the request has more than 1,048,576 bytes"),
    ],
)
def test_what_cannot_be_answered_is_a_sentence(client: openai.OpenAI, messages: object, more: dict, said: str) -> None:
    with pytest.raises(openai.BadRequestError) as refusal:
        ask(client, messages, **more)
    assert said in refusal.value.body["message"]  # type: ignore[index]


def test_other_pages_and_what_is_not_a_chat_are_refused(address: str) -> None:
    asked = {"messages": ASKED, "max_tokens": 2, "n": 1, "logprobs": False, "frequency_penalty": 0.0, "user": "me"}
    answer = httpx.post(f"{address}/v1/chat/completions", json=asked)
    assert (answer.status_code, "[DONE]" in answer.text) == (200, False)
    streamed = httpx.post(f"{address}/v1/chat/completions", json=asked | {"stream": True})
    assert streamed.text.count("[DONE]") == 1
    assert streamed.text.endswith("}\n\ndata: [DONE]\n\n")
    for body in (b"no json", b"", b"[]", b"{}", b'{"messages": "\\ud800"}'):
        refusal = httpx.post(f"{address}/v1/chat/completions", content=body)
        assert refusal.status_code == 400
        assert refusal.json()["error"]["message"]
    assert httpx.get(f"{address}/v1/models", headers={"Origin": "https://evil.com"}).status_code == 403
    assert httpx.get(f"{address}/v1/models", headers={"Host": "evil.com"}).status_code == 400
    for path in ("load_model", "reset", "v1/responses", "docs"):
        refusal = httpx.post(f"{address}/{path}", json={"model": "instruct"})
        assert (refusal.status_code, refusal.json()["error"]["message"]) == (404, "Not Found")
