"""The Transformer: one network, causal for next-token prediction, bidirectional for masked-word prediction.

    ids -> embedding -> [ x + attention(norm(x)); x + feed_forward(norm(x)) ] * depth -> norm -> head -> logits

Each choice, and where it comes from:
- pre-norm residual blocks with RMSNorm (Zhang & Sennrich 2019, arXiv:1910.07467), no biases anywhere
- rotary position embedding, RoPE (Su et al. 2021, arXiv:2104.09864): positions enter as angles between queries and keys
- QK-norm (Henry et al. 2020, arXiv:2010.04245): queries and keys are normed per head, which bounds the attention logits
  and lets learning rates be high; causal only, since the layout that carries the masked model has no place for it
- grouped-query attention, GQA (Ainslie et al. 2023, arXiv:2305.13245): several query heads may share a key/value head
- SwiGLU feed-forward (Shazeer 2020, arXiv:2002.05202)
- head tied to the embedding (Press & Wolf 2016, arXiv:1608.05859) unless told otherwise
- matrices that write to the residual stream start at zero (as in Yang et al. 2022, arXiv:2203.03466), so every block
  starts as the identity and depth costs nothing at the first step; but for one head of a causal network, see
  induction_heads.py

Names of parameters are those `transformers` uses, so that an export renames nothing (see export.py). One dial, `size`,
is the depth; `derive_shape` of shape.py derives the rest.

Legend of shape suffixes: B batch, T position in the sequence, D residual width, V vocabulary, F feed-forward width,
H query heads, K key/value heads, C channels of a head, S positions attended to (T, or more with a cache).
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from components.model import cpu_kernels, document_attention, induction_heads, lora
from components.model.shape import Shape

SMALL = 0.3
"""Size of initial matrices in short trainings, 1 keeping that of a normed input: Muon soon outgrows the noise."""


class Norm(nn.Module):
    """RMSNorm over the last dimension with a learned gain."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        if cpu_kernels.use_cpu_kernels(x):  # saves the normed output alone for the backward pass
            y = cpu_kernels.rms_normalize(x, self.eps)
            return y * self.weight.to(y.dtype)
        return F.rms_norm(x, (x.shape[-1],), self.weight.to(x.dtype), self.eps)


def apply_rotary(x_BHTC: Tensor, cos_TC: Tensor, sin_TC: Tensor) -> Tensor:
    """Rotary embedding (RoPE): rotate channels (c, c + C/2) by the angle of their position."""
    first, second = x_BHTC.chunk(2, dim=-1)
    return x_BHTC * cos_TC + torch.cat((-second, first), dim=-1) * sin_TC


class KeyValueCache:
    """Keys and values of the positions a causal model has read, layer by layer, for generation."""

    def __init__(self, shape: Shape) -> None:
        self.layers: list[tuple[Tensor, Tensor] | None] = [None] * shape.depth

    @property
    def length(self) -> int:
        """Number of positions in the cache."""
        first = self.layers[0]
        return 0 if first is None else first[0].shape[2]

    def extend(self, layer: int, k_BKTC: Tensor, v_BKTC: Tensor) -> tuple[Tensor, Tensor]:
        """Append new positions to a layer; returns all of them."""
        cached = self.layers[layer]
        if cached is not None:
            k_BKTC, v_BKTC = torch.cat([cached[0], k_BKTC], 2), torch.cat([cached[1], v_BKTC], 2)
        self.layers[layer] = k_BKTC, v_BKTC
        return k_BKTC, v_BKTC


@dataclass
class Positions:
    """Positions of the tokens of a forward pass, as attention needs them.

    Attributes:
        cos, sin: (T, C), RoPE's angles of the queries' positions.
        mask: bool, broadcast to (B, H, T, S), True where a query may attend; None where `causal` suffices.
        causal: each position sees itself and those before it.
        blocks: instead of `mask`, where attention goes by blocks (document_attention.py).
    """

    cos: Tensor
    sin: Tensor
    mask: Tensor | None
    causal: bool
    cache: KeyValueCache | None = None
    blocks: Any = None


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, shape: Shape, layer: int) -> None:
        super().__init__()
        self.shape, self.layer = shape, layer
        queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
        self.q_proj = nn.Linear(shape.width, queries, bias=False)
        self.k_proj = nn.Linear(shape.width, keys, bias=False)
        self.v_proj = nn.Linear(shape.width, keys, bias=False)
        self.o_proj = nn.Linear(queries, shape.width, bias=False)
        if shape.qk_norm:
            self.q_norm = Norm(shape.head_dim, shape.norm_eps)
            self.k_norm = Norm(shape.head_dim, shape.norm_eps)
        self.seen_BHTS: Tensor | None = None  # filled while `captured_attention` is on
        self.capturing = False

    def forward(self, x_BTD: Tensor, positions: Positions) -> Tensor:
        q_BHTC, k_BKTC, v_BKTC = self.project(x_BTD, positions)
        # Generation: keys and values of earlier positions come from the cache, and the new ones go into it.
        if positions.cache is not None:
            k_BKTC, v_BKTC = positions.cache.extend(self.layer, k_BKTC, v_BKTC)
        # The kernels below never hold the weights as a tensor; for plots they are computed apart, at full cost.
        if self.capturing:
            self.seen_BHTS = attention_weights(q_BHTC, k_BKTC, positions)
        # Training on CUDA with several documents in a window: FlexAttention skips the blocks between two documents.
        if positions.blocks is not None:
            y_BHTC = document_attention.attend(q_BHTC, k_BKTC, v_BKTC, positions.blocks)
        # All else: PyTorch chooses a kernel. `is_causal` needs no mask in memory, so `mask` is None wherever it serves.
        else:
            y_BHTC = F.scaled_dot_product_attention(
                q_BHTC, k_BKTC, v_BKTC, positions.mask, is_causal=positions.causal,
                enable_gqa=self.shape.kv_heads < self.shape.heads,
            )  # fmt: skip
        return self.o_proj(y_BHTC.transpose(1, 2).flatten(2))

    def fused(self, unit_BTD: Tensor, gain_D: Tensor, positions: Positions) -> Tensor:
        """`forward` by CPU kernels, for a normed input whose gain is not applied yet."""
        qkv_BTX = cpu_kernels.linear(unit_BTD, gain_D, self.q_proj.weight, self.k_proj.weight, self.v_proj.weight)
        qkv_BTX = lora.adapted(qkv_BTX, unit_BTD, gain_D, (self.q_proj, self.k_proj, self.v_proj))
        gains = (self.q_norm.weight, self.k_norm.weight) if self.shape.qk_norm else None
        shape = self.shape
        y_BTX = cpu_kernels.self_attention(
            qkv_BTX, gains, positions.cos, positions.sin, shape.heads, shape.norm_eps, shape.causal
        )
        return self.o_proj(y_BTX)

    def fits_kernels(self, positions: Positions) -> bool:
        """Whether `fused` can replace `forward`: no mask, cache or captured weights, one key head per query head."""
        plain = positions.mask is None and positions.blocks is None and positions.cache is None
        return plain and not self.capturing and self.shape.heads == self.shape.kv_heads

    def project(self, x_BTD: Tensor, positions: Positions) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (B, H, T, C), keys and values (B, K, T, C), normed and rotated."""
        heads = (*x_BTD.shape[:2], -1, self.shape.head_dim)
        q_BTHC, k_BTKC, v_BTKC = (proj(x_BTD).view(heads) for proj in (self.q_proj, self.k_proj, self.v_proj))
        if self.shape.qk_norm:
            q_BTHC, k_BTKC = self.q_norm(q_BTHC), self.k_norm(k_BTKC)
        q_BHTC, k_BKTC = (apply_rotary(x.transpose(1, 2), positions.cos, positions.sin) for x in (q_BTHC, k_BTKC))
        return q_BHTC.to(v_BTKC.dtype), k_BKTC.to(v_BTKC.dtype), v_BTKC.transpose(1, 2)


def attention_weights(q_BHTC: Tensor, k_BKSC: Tensor, positions: Positions) -> Tensor:
    """Attention weights, float32 (B, H, T, S), which scaled_dot_product_attention does not return; rows sum to 1."""
    k_BHSC = k_BKSC.repeat_interleave(q_BHTC.shape[1] // k_BKSC.shape[1], dim=1)
    score_BHTS = q_BHTC.float() @ k_BHSC.float().transpose(-1, -2) / math.sqrt(q_BHTC.shape[-1])
    mask = positions.mask
    if positions.causal:
        mask = torch.ones(score_BHTS.shape[-2:], dtype=torch.bool, device=q_BHTC.device).tril()
    if mask is not None:
        score_BHTS = score_BHTS.masked_fill(~mask, -torch.inf)
    return score_BHTS.softmax(-1)


class FeedForward(nn.Module):
    """SwiGLU: one projection gates the other."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.up_proj = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.down_proj = nn.Linear(shape.feed_forward, shape.width, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x_BTD)) * self.up_proj(x_BTD))

    def fused(self, unit_BTD: Tensor, gain_D: Tensor) -> Tensor:
        """`forward` by CPU kernels, for a normed input whose gain is not applied yet."""
        both_BTX = cpu_kernels.linear(unit_BTD, gain_D, self.gate_proj.weight, self.up_proj.weight)
        return self.down_proj(
            cpu_kernels.swiglu(lora.adapted(both_BTX, unit_BTD, gain_D, (self.gate_proj, self.up_proj)))
        )


class Block(nn.Module):
    """Attention, then feed-forward, each added to the residual stream."""

    def __init__(self, shape: Shape, layer: int) -> None:
        super().__init__()
        self.input_layernorm = Norm(shape.width, shape.norm_eps)
        self.self_attn = Attention(shape, layer)
        self.post_attention_layernorm = Norm(shape.width, shape.norm_eps)
        self.mlp = FeedForward(shape)

    def forward(self, x_BTD: Tensor, positions: Positions) -> Tensor:
        # Training on a CPU: fused kernels with their own gradients. They support neither masks, caches nor shared key
        # heads (`fits_kernels`).
        if cpu_kernels.use_cpu_kernels(x_BTD) and self.self_attn.fits_kernels(positions):
            return self.fused(x_BTD, positions)
        # Everywhere else (CUDA, torch.compile, evaluation, generation), the plain form.
        x_BTD = x_BTD + self.self_attn(self.input_layernorm(x_BTD), positions)
        return x_BTD + self.mlp(self.post_attention_layernorm(x_BTD))

    def fused(self, x_BTD: Tensor, positions: Positions) -> Tensor:
        """`forward` in fewer passes over memory; see cpu_kernels.py."""
        first, second = self.input_layernorm, self.post_attention_layernorm
        x_BTD = x_BTD + self.self_attn.fused(cpu_kernels.rms_normalize(x_BTD, first.eps), first.weight, positions)
        return x_BTD + self.mlp.fused(cpu_kernels.rms_normalize(x_BTD, second.eps), second.weight)


class Transformer(nn.Module):
    """The network; see the module's docstring.

    Example:
        model = Transformer(derive_shape(ModelShape(size=4), vocab_size=4096, context=256, causal=True))
        logits_BTV = model(ids_BT)
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embed_tokens = nn.Embedding(shape.vocab_size, shape.width)
        self.layers = nn.ModuleList(Block(shape, layer) for layer in range(shape.depth))
        self.norm = Norm(shape.width, shape.norm_eps)
        self.compiled: list[Any] = []  # of `layers`, for training, once `compile_training` has filled it
        if not shape.tied:
            self.lm_head = nn.Linear(shape.width, shape.vocab_size, bias=False)
        frequency_C = 1.0 / shape.rope_theta ** (torch.arange(0, shape.head_dim, 2).float() / shape.head_dim)
        self.register_buffer("frequency_C", frequency_C, persistent=False)

    def initialise(self, seed: int, scale: float = SMALL) -> "Transformer":
        """Fresh weights, a function of seed, shape and scale alone. Returns the model."""
        generator = torch.Generator().manual_seed(seed)
        for name, parameter in self.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight", "lm_head.weight")):
                nn.init.zeros_(parameter)
            elif name == "embed_tokens.weight":
                nn.init.normal_(parameter, std=induction_heads.USUAL, generator=generator)
            elif parameter.ndim == 2:  # fan-in scaling: all widths shrink a normed input alike
                nn.init.normal_(parameter, std=scale * parameter.shape[1] ** -0.5, generator=generator)
        if induction_heads.fit(self.shape):
            induction_heads.initialise(self, self.shape, generator)
        return self

    @property
    def head_weight(self) -> Tensor:
        """The matrix that turns final states into logits."""
        return self.embed_tokens.weight if self.shape.tied else self.lm_head.weight

    @property
    def num_parameters(self) -> int:
        """All parameters; a tied head counts once."""
        return sum(parameter.numel() for parameter in self.parameters())

    def hidden(self, ids_BT: Tensor, documents_BT: Tensor | None = None, cache: KeyValueCache | None = None) -> Tensor:
        """Final states, after the last norm: (B, T, D).

        Args:
            ids_BT: int64 token ids.
            documents_BT: which document each position belongs to; attention then stays inside documents. None lets
                it cross them.
            cache: keys and values of earlier positions (causal, one call per new piece); extended in place. Not
                together with `documents_BT`.
        """
        positions = self.positions(ids_BT, documents_BT, cache)
        x_BTD = self.embed_tokens(ids_BT)
        for block in self.compiled if self.training and self.compiled else self.layers:
            x_BTD = block(x_BTD, positions)
        return self.norm(x_BTD)

    def forward(self, ids_BT: Tensor, documents_BT: Tensor | None = None, cache: KeyValueCache | None = None) -> Tensor:
        """Logits (B, T, V); arguments as of `hidden`."""
        return self.logits(self.hidden(ids_BT, documents_BT, cache))

    def logits(self, state: Tensor) -> Tensor:
        """Logits (..., V) of final states (..., D)."""
        return F.linear(state, self.head_weight)

    def cross_entropy(self, state_ND: Tensor, targets_N: Tensor) -> Tensor:
        """Summed cross entropy in nats of the targets after final states."""
        return cpu_kernels.linear_cross_entropy(state_ND, self.head_weight, targets_N)

    def cache(self) -> KeyValueCache:
        """An empty cache of keys and values, for generation."""
        return KeyValueCache(self.shape)

    def positions(self, ids_BT: Tensor, documents_BT: Tensor | None, cache: KeyValueCache | None) -> Positions:
        """Angles and mask for a forward pass."""
        # The mask below compares the new positions with each other alone: it knows no documents of cached ones.
        assert documents_BT is None or cache is None, "pass documents_BT or cache, not both"
        start = cache.length if cache is not None else 0
        length = ids_BT.shape[1]
        at_T = torch.arange(start, start + length, device=ids_BT.device)
        angle_TX = torch.outer(at_T.float(), cast(Tensor, self.frequency_C))  # X: half of the channels
        # One of four: document blocks (CUDA training), a document mask, a causal mask beside cached positions, or none
        # at all (bidirectional; plain causal, which the kernels know by a flag; one new position, which may see all).
        mask = blocks = None
        if documents_BT is not None and document_attention.fits(documents_BT, self.shape.head_dim):
            blocks = document_attention.block_mask(documents_BT, self.shape.causal)
        elif documents_BT is not None:
            mask = (documents_BT[:, :, None] == documents_BT[:, None, :])[:, None]
            if self.shape.causal:
                mask = mask & torch.ones(length, length, dtype=torch.bool, device=ids_BT.device).tril()
        elif self.shape.causal and start and length > 1:
            mask = at_T[:, None] >= torch.arange(start + length, device=ids_BT.device)
        causal = self.shape.causal and mask is None and blocks is None and length > 1
        return Positions(angle_TX.cos().repeat(1, 2), angle_TX.sin().repeat(1, 2), mask, causal, cache, blocks)


@contextmanager
def captured_attention(model: Transformer) -> Iterator[list[Tensor]]:
    """Context in which a forward pass fills the yielded list with attention weights, (B, H, T, S) per layer."""
    seen: list[Tensor] = []
    blocks: Any = model.layers
    for block in blocks:
        block.self_attn.capturing = True
    try:
        yield seen
    finally:
        for block in blocks:
            if block.self_attn.seen_BHTS is not None:
                seen.append(block.self_attn.seen_BHTS)
            block.self_attn.capturing, block.self_attn.seen_BHTS = False, None
