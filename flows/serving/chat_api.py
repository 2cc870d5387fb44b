"""An OpenAI-compatible endpoint of one chat model, by `transformers serve`, for tools that speak that API.

    python -m flows.serving.chat_api models/finetune/instruct --port 8000
    curl http://127.0.0.1:8000/v1/chat/completions -H 'content-type: application/json' \\
        -d '{"messages": [{"role": "user", "content": "Why?"}]}'

`make up` starts it where OPENAI_PORT is set. It stands behind access_control.py and chat_requests.py, and what
`transformers` serves beside chats and completions (loading any other model among them) is left out. transformers 5.24
cuts the answer out of a chat by the markers of Qwen3's own chats, unless `response_template` in tokenizer_config.json
has others; by those, an answer of ours would begin with its prompt. So what is served is a folder of links to the
model's files, with that key added. Its answers are sampled as those of `make chat`, unless a request says otherwise.
"""

import os
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException

from components.core.errors import UserError, clause
from components.core.files import read_fields, write_json
from components.tokens.hub_encoder import WHOLE_COPY
from components.tokens.tokenizer import ASSISTANT, CHAT, END, SPECIAL_TOKENS
from flows.serving.access_control import protected
from flows.serving.chat_requests import WithinContext, refused
from flows.system import paths
from flows.system.command import number, parser_of, run_command
from flows.system.prefect_server import bind_error

SERVED = ("/v1/chat/completions", "/v1/completions", "/v1/models", "/health")
CONFIG, GENERATION = "tokenizer_config.json", "generation_config.json"
ANSWER = {
    "defaults": {"role": "assistant"},
    "start_anchor": SPECIAL_TOKENS[ASSISTANT],
    "fields": {"content": {"close": SPECIAL_TOKENS[END], "content": "text", "content_args": {"strip": False}}},
}
"""Where an answer stands in a chat of ours, as `transformers` is told."""
SAMPLED = {"do_sample": True, "temperature": 0.7, "top_p": 0.9}
"""What a request may change; as `make chat` has it."""


def require_package() -> None:
    """Refuse to go on without what `transformers serve` needs beside the base installation.

    Raises:
        UserError: as said.
    """
    if not find_spec("openai"):
        raise UserError("OPENAI_PORT needs the extra `serve`: .venv/bin/pip install -c constraints.txt -e '.[serve]', "
                        "or unset it")  # fmt: skip


def linked(model: Path, place: Path) -> Path:
    """A folder in `place`, of the model's name, with links to its files and the configuration described above.

    Raises:
        UserError: there is no model, or its configuration is damaged.
    """
    if not (model / CONFIG).exists():
        raise UserError(f"{model}: no {CONFIG}, so this is no model folder; give one, such as models/finetune/instruct")
    kind = read_fields(model / "config.json", WHOLE_COPY).get("architectures")
    if kind != ["Qwen3ForCausalLM"]:
        raise UserError(f"{model}: a model of the kind {', '.join(kind or ['unknown'])} writes no text; "
                        "give a causal one, such as models/finetune/instruct")  # fmt: skip
    config, folder = read_fields(model / CONFIG, WHOLE_COPY), place / model.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for file in model.iterdir():
        if file.is_file() and file.name not in (CONFIG, GENERATION):
            (folder / file.name).symlink_to(file.resolve())
    ours = config.get("chat_template") == CHAT.template  # a base made elsewhere has chats of Qwen3's own
    write_json(folder / CONFIG, config | ({"response_template": ANSWER} if ours else {}))
    generation = read_fields(model / GENERATION, WHOLE_COPY) if (model / GENERATION).exists() else {}
    write_json(folder / GENERATION, generation | SAMPLED)
    return folder


def serve(model: Path, port: int) -> None:
    """Serve until stopped.

    Raises:
        UserError: the package is missing, the port is taken, or the folder is no model that writes text.
    """
    require_package()
    if error := bind_error(port):
        raise UserError(f"port {port}: {clause(error)}; choose another")
    from transformers.cli.serve import Serve

    class Guarded(Serve):
        """transformers' server; `start_server` is what it calls, with `non_blocking`, where it would start a thread."""

        def start_server(self) -> None:
            app: Any = self.server.config.app
            app.router.routes = [route for route in app.router.routes if route.path in SERVED]
            app.add_exception_handler(HTTPException, lambda _, error: refused(str(error.detail), error.status_code))
            inner = WithinContext(app, Path(folder.name))
            self.server.config.app = protected(inner, port)  # type: ignore[assignment]  # uvicorn's own kinds of ASGI
            self.server.run()

    folder = linked(model.resolve(), paths.STATE / "served")
    os.chdir(folder.parent)  # so that the model's name in the API is the folder's, and no path
    os.environ["HF_HUB_OFFLINE"] = "1"
    Guarded(folder.name, host="127.0.0.1", port=port, non_blocking=True)


def main() -> None:
    """Serve until stopped."""
    parser = parser_of("serving.chat_api", __doc__)
    parser.add_argument("model", type=Path, help="model folder")
    parser.add_argument("--port", type=number(int, 1, 65535), required=True, metavar="N")
    arguments = parser.parse_args()
    serve(arguments.model, arguments.port)


if __name__ == "__main__":
    run_command("chat_api", main)
