"""Shape of a network: its sizes, parameter count and FLOPs per token, without importing torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """Sizes and options that determine the network's parameters and its function."""

    vocab_size: int
    depth: int
    width: int
    heads: int
    kv_heads: int
    head_dim: int
    feed_forward: int
    context: int
    causal: bool = True
    qk_norm: bool = True
    tied: bool = True
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-6

    @property
    def num_block_parameters(self) -> int:
        """Parameters of the blocks' matrices: the N of scaling laws."""
        attention = self.width * self.head_dim * (2 * self.heads + 2 * self.kv_heads)
        return self.depth * (attention + 3 * self.width * self.feed_forward)

    @property
    def flops_per_token(self) -> int:
        """FLOPs per token of a training step, both passes: 6 per weight in a product, and attention's two products.

        A causal query meets half the context on average (PaLM's appendix B counts all of it; we count what is needed).
        """
        products = self.num_block_parameters + self.vocab_size * self.width
        seen = self.context // 2 if self.causal else self.context
        return 6 * products + 12 * self.depth * self.heads * self.head_dim * seen
