"""How a chat is written as tokens: what goes around each message, and the same as a Jinja template for `transformers`.

The one of the tokenizers made here; ChatML, which Qwen's tokenizers have tokens for; its like without them. All
templates begin with the token that training begins with, mark with `{% generation %}` what is learned, refuse an
unknown role.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class ChatFormat:
    """Ids around the messages of a chat.

    Attributes:
        begin: before the first message.
        around: for each role the ids before and after its content; the first after an answer ends it, and is learned.
        template: for tokenizer_config.json.
        strips: whether white space around a content goes (where it would merge with what stands around it).
    """

    begin: tuple[int, ...]
    around: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    template: str
    strips: bool = False

    @property
    def end(self) -> int:
        """The token that ends an answer."""
        return self.around["assistant"][1][0]


_UNKNOWN = "{{ raise_exception('unknown role ' ~ message['role'] ~ '; known are system, user and assistant') }}"

CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}<|system|>{{ message['content'] }}"
    "{% elif message['role'] == 'user' %}<|user|>{{ message['content'] }}"
    "{% elif message['role'] == 'assistant' %}<|assistant|>"
    "{% generation %}{{ message['content'] }}<|end|>{% endgeneration %}"
    "{% else %}" + _UNKNOWN + "{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
"""`<|endoftext|><|system|>...<|user|>prompt<|assistant|>answer<|end|>`."""

CHATML_TEMPLATE = (
    "{% if bos_token %}{{ bos_token }}{% endif %}"
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}<|im_start|>assistant\n"
    "{% generation %}{{ message['content'] | trim }}<|im_end|>{% endgeneration %}{{ '\\n' }}"
    "{% elif message['role'] in ['system', 'user'] %}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] | trim }}<|im_end|>\n"
    "{% else %}" + _UNKNOWN + "{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""ChatML, as Qwen writes it, without white space around contents: it would merge with line ends."""

ENDED_TEMPLATE = CHATML_TEMPLATE.replace("<|im_start|>", "").replace("<|im_end|>", "{{ eos_token }}")
"""The same for tokenizers without its tokens: each message ends with the end of a text."""
