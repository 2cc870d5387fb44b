"""The classic recipe, as a baseline for our own loop: GPT-2's block (Radford et al. 2019).

LayerNorm with biases, learned positions, GELU MLP of four times the width, attention by PyTorch's own function; plain
cross entropy. Trained by AdamW with a cosine schedule in float32, eager (benchmarks/train_contestants.py).
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from components.training.objectives import Batch


class Block(nn.Module):
    """Attention, then an MLP, each behind a LayerNorm and added to the residual stream."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x_BTD: Tensor) -> Tensor:
        batch, length, width = x_BTD.shape
        qkv = self.qkv(self.first(x_BTD)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], is_causal=True)
        x_BTD = x_BTD + self.out(y.transpose(1, 2).reshape(batch, length, width))
        return x_BTD + self.down(F.gelu(self.up(self.second(x_BTD))))


class Classic(nn.Module):
    """ids (B, T) to logits (B, T, V); the head is tied to the embedding."""

    def __init__(self, vocab_size: int, context: int, depth: int, width: int, heads: int, seed: int) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocab_size, width), nn.Embedding(context, width)
        self.layers = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        generator = torch.Generator().manual_seed(seed)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:  # GPT-2's: 0.02, and less where many blocks add up
                std = 0.02 / (2 * depth) ** 0.5 if name.endswith(("out.weight", "down.weight")) else 0.02
                nn.init.normal_(parameter, std=std, generator=generator)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, ids_BT: Tensor) -> Tensor:
        x_BTD = self.tokens(ids_BT) + self.positions.weight[: ids_BT.shape[1]]
        for block in self.layers:
            x_BTD = block(x_BTD)
        return F.linear(self.norm(x_BTD), self.tokens.weight)


def loss(model: Any, batch: Batch) -> Tensor:
    """Summed cross entropy."""
    return F.cross_entropy(model(batch.ids_BT).flatten(0, 1), batch.targets.flatten(), reduction="sum")
