"""`tokenize` in params.yaml: the vocabulary and what it is trained on."""

from pydantic import Field

from components.params.section import Section


class Tokenize(Section):
    """Train a byte-level BPE and encode the corpus into memory-mapped shards."""

    vocab_size: int = Field(default=2048, ge=300, le=200_000)
    """Tokens in the vocabulary, 256 bytes and the special tokens included."""
    train_megabytes: float = Field(default=20.0, gt=0.0)
    """Text the BPE is trained on at most (10^6 bytes), an even sample of the documents."""
