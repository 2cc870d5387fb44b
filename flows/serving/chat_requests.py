"""Requests to the chat endpoint, checked before `transformers` reads them and kept within the model's context.

`transformers serve` ignores fields that it does not know how to honour, answers 500 to values that it does not expect,
lets a client name a chat template, and generates beyond the context that a model was trained with: 1,024 tokens where a
request names no number. Here a request has known fields alone, or is refused with a sentence; an answer ends
(`finish_reason` is `length`) where the context does; and what the text of a message spells is never a token of the chat
format.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from jinja2 import TemplateError
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 1 << 20
"""Of a request: more than any context here holds."""
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,), "best_of": (1,), "logprobs": (False,), "top_logprobs": (0,), "echo": (False,), "store": (False,),
    "frequency_penalty": (0,), "presence_penalty": (0,), "stop": ([],), "logit_bias": ({},), "tools": ([],),
    "tool_choice": ("none",), "response_format": ({"type": "text"},),
    "stream_options": ({"include_usage": True}, {"include_usage": False}),
}  # fmt: skip
"""Fields that are not served -> the values that ask for nothing; `user` and `metadata` may hold anything."""


class _Fields(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ContentPart(_Fields):
    """A part of a message: text, since no model here sees or hears."""

    type: Literal["text"]
    text: str


class ChatMessage(_Fields):
    """A message of a chat."""

    role: str
    content: str | list[ContentPart]
    name: str | None = None

    def text(self) -> str:
        """The content, its parts joined."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class _Answered(_Fields):
    model: str | None = None
    max_tokens: Annotated[int, Field(ge=1, strict=True)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=0, lt=1 << 63, strict=True)] | None = None
    stream: Annotated[bool, Field(strict=True)] | None = None


class ChatRequest(_Answered):
    """/v1/chat/completions."""

    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=1, strict=True)] | None = None


class TextRequest(_Answered):
    """/v1/completions."""

    prompt: Annotated[str, Field(min_length=1)]


REQUESTS: dict[str, type[ChatRequest] | type[TextRequest]] = {
    "/v1/chat/completions": ChatRequest, "/v1/completions": TextRequest,
}  # fmt: skip


class WithinContext:
    """ASGI middleware: 400 and a sentence for what cannot be answered; else the request, its length bounded.

    Args:
        app: what answers.
        model: the model's folder, with tokenizer and configuration.
    """

    def __init__(self, app: ASGIApp, model: Path) -> None:
        from transformers import AutoConfig, AutoTokenizer

        self.app, self.name = app, model.name
        self.tokenizer: Any = AutoTokenizer.from_pretrained(model)
        self.context: int = AutoConfig.from_pretrained(model).max_position_embeddings
        self.reserved = tuple(self.tokenizer.get_added_vocab())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = REQUESTS.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if kind is None:
            return await self.app(scope, receive, send)
        try:
            body = await asyncio.to_thread(self.bounded, kind, await whole(Request(scope, receive)))
        except ValidationError as error:
            return await refused(in_words(error))(scope, receive, send)
        except (ValueError, TemplateError) as error:
            return await refused(str(error))(scope, receive, send)
        content, waiting = JSONResponse(body).body, True

        async def again() -> Message:
            nonlocal waiting
            if waiting:
                waiting = False
                return {"type": "http.request", "body": bytes(content), "more_body": False}
            return await receive()

        await self.app(scope, again, with_end(send))

    def bounded(self, kind: type[ChatRequest] | type[TextRequest], body: bytes) -> Mapping[str, Any]:
        """The request's fields, with a number of tokens that the context has room for.

        Raises:
            ValidationError: a field is not as it should be.
            ValueError: there is room for no token, another model is asked, or a text spells a token of the chat format.
            TemplateError: a role is unknown.
        """
        asked = TypeAdapter(kind).validate_python(served(TypeAdapter(dict[str, Any]).validate_json(body)))
        if asked.model not in (None, self.name):
            raise ValueError(f"model: {self.name!r} is served here and no other; {asked.model!r} was asked")
        fields = asked.model_dump(exclude_none=True, exclude={"max_tokens", "max_completion_tokens"})
        limit = asked.max_tokens
        if isinstance(asked, ChatRequest):
            limit = asked.max_completion_tokens or limit
            fields["messages"] = [{"role": one.role, "content": one.text()} for one in asked.messages]
            self._refuse_reserved([one["content"] for one in fields["messages"]])
            ids = self.tokenizer.apply_chat_template(fields["messages"], add_generation_prompt=True)["input_ids"]
        else:
            self._refuse_reserved([asked.prompt])
            ids = self.tokenizer(asked.prompt)["input_ids"]
        room = self.context - len(ids)
        if room < 1:
            raise ValueError(f"the prompt has {len(ids)} tokens, and the model's context has {self.context}; shorten it"
                             " or leave out earlier messages")  # fmt: skip
        return fields | {"max_tokens": min(limit or room, room)}

    def _refuse_reserved(self, texts: list[str]) -> None:
        for name in self.reserved:
            if any(name in text for text in texts):
                raise ValueError(f"a text has {name}, which is a token of the chat format and would be read as such")


def with_end(send: Send) -> Send:
    """A streamed answer with the last line that clients of this API wait for, which transformers 5.24 leaves out."""
    streamed = False

    async def sent(message: Message) -> None:
        nonlocal streamed
        if message["type"] == "http.response.start":
            streamed = Headers(raw=message["headers"]).get("content-type", "").startswith("text/event-stream")
        elif streamed and not message.get("more_body"):
            message = {**message, "body": message.get("body", b"") + b"data: [DONE]\n\n"}
        await send(message)

    return sent


async def whole(request: Request) -> bytes:
    """The body.

    Raises:
        ValueError: it is longer than `MOST_BYTES`; no more of it is read.
    """
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise ValueError(f"the request has more than {MOST_BYTES:,} bytes")
    return body


def served(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields but those that ask for nothing.

    Raises:
        ValueError: a field asks for what is not served.
    """
    for name, value in fields.items():
        if name in NEUTRAL and value is not None and value not in NEUTRAL[name]:
            raise ValueError(f"{name}: not served; leave it out")
    return {name: value for name, value in fields.items() if name not in (*NEUTRAL, "user", "metadata")}


def in_words(error: ValidationError) -> str:
    """Where a request is wrong, by the deepest place (a content may be text or a list), and how."""
    deepest = max(error.errors(), key=lambda one: len(one["loc"]))
    place = ".".join(str(part) for part in deepest["loc"] if part not in ("str", "list[ContentPart]"))
    if deepest["type"] == "extra_forbidden":
        return f"{place}: not served; leave it out"
    return f"{place or 'body'}: {deepest['msg']}"


def refused(message: str, status: int = 400) -> JSONResponse:
    """A refusal in the form that clients of this API read."""
    return JSONResponse({"error": {"message": message, "type": "invalid_request_error"}}, status)
