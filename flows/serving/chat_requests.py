"""Requests to the chat endpoint, checked before `transformers` reads them and kept within the model's context.

`transformers serve` answers 500 to a message of an unknown role or none at all, and generates beyond the context that a
model was trained with: 1,024 tokens where a request names no number. Here such a request is refused with a sentence,
and an answer ends (`finish_reason` is `length`) where the context does.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from jinja2 import TemplateError
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class _Fields(BaseModel):
    model_config = ConfigDict(extra="allow")


class Part(_Fields):
    """A part of a message: text, since no model here sees or hears."""

    type: Literal["text"]
    text: str


class ChatMessage(_Fields):
    """A message of a chat."""

    role: str
    content: str | list[Part]

    def text(self) -> str:
        """The content, its parts joined."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class _Answered(_Fields):
    model: str | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: int | None = None


class ChatRequest(_Answered):
    """/v1/chat/completions."""

    messages: Annotated[list[ChatMessage], Field(min_length=1)]


class TextRequest(_Answered):
    """/v1/completions."""

    prompt: str


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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = REQUESTS.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if kind is None:
            return await self.app(scope, receive, send)
        try:
            body = self.bounded(TypeAdapter(kind).validate_json(await Request(scope, receive).body()))
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

        await self.app(scope, again, send)

    def bounded(self, asked: ChatRequest | TextRequest) -> Mapping[str, Any]:
        """The request's fields, with a number of tokens that the context has room for.

        Raises:
            ValueError: there is room for none, or another model is asked.
            TemplateError: a role is unknown.
        """
        if asked.model not in (None, self.name):
            raise ValueError(f"model: {self.name!r} is served here and no other; {asked.model!r} was asked")
        fields = asked.model_dump(exclude_none=True, exclude={"max_tokens", "max_completion_tokens"})
        if isinstance(asked, ChatRequest):
            fields["messages"] = [message.model_dump() | {"content": message.text()} for message in asked.messages]
            ids = self.tokenizer.apply_chat_template(fields["messages"], add_generation_prompt=True)["input_ids"]
        else:
            ids = self.tokenizer(asked.prompt)["input_ids"]
        room = self.context - len(ids)
        if room < 1:
            raise ValueError(f"the prompt has {len(ids)} tokens, and the model's context has {self.context}; shorten it"
                             " or leave out earlier messages")  # fmt: skip
        return fields | {"max_tokens": min(asked.max_completion_tokens or asked.max_tokens or room, room)}


def in_words(error: ValidationError) -> str:
    """Where a request is wrong, by the deepest place (a content may be text or a list), and how."""
    deepest = max(error.errors(), key=lambda one: len(one["loc"]))
    place = ".".join(str(part) for part in deepest["loc"] if part not in ("str", "list[Part]"))
    return f"{place or 'body'}: {deepest['msg']}"


def refused(message: str) -> JSONResponse:
    """A refusal in the form that clients of this API read."""
    return JSONResponse({"error": {"message": message, "type": "invalid_request_error"}}, 400)
