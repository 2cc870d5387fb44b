"""A chat as token ids, and which of them are learned: the answers of the assistant, each with the token that ends it.

The ids are those of `transformers`: `apply_chat_template(..., return_assistant_tokens_mask=True)` gives the
same two lists, but for answers that are not to be learned.
"""

from collections.abc import Sequence

from components.instruction_pairs.examples import Message
from components.tokens.hub_encoder import AnyEncoder


def encode(messages: Sequence[Message], encoder: AnyEncoder, *, ask: bool = False) -> tuple[list[int], list[bool]]:
    """Ids of a chat, and for each whether it is learned.

    Args:
        ask: end with the tokens after which an answer begins (transformers' `add_generation_prompt`).
    """
    form = encoder.chat
    ids, learned = [*form.begin], [False] * len(form.begin)
    for message in messages:
        before, after = form.around[message.role]
        answer = message.role == "assistant" and message.learned
        content = encoder.encode(message.content.strip() if form.strips else message.content)
        ids += [*before, *content, *after]
        learned += [False] * len(before) + [answer] * len(content)
        learned += [answer and index == 0 for index in range(len(after))]
    if ask:
        before, _ = form.around["assistant"]
        ids, learned = [*ids, *before], [*learned, *[False] * len(before)]
    return ids, learned
