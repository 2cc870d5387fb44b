"""Fused CPU kernels of the network's slow parts, each an autograd function with a gradient of its own.

Matrix products on current CPUs (AMX, AVX512-bf16) are faster than the element-wise passes between them, so a step's
time goes into passes over memory. The functions here make fewer passes, in the type of the matrix products, and reuse
buffers. Tests compare values and gradients with the plain form.

Legend: B batch, T positions, H heads, C channels of a head, N rows (B * T), D width, V vocabulary.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

LOGITS_CHUNK = 1 << 25
"""Logits per chunk on a CPU: 64 MB in bfloat16."""
DEVICE_CHUNK = 1 << 29
"""Logits per chunk on a GPU: 1 GB. Each chunk adds to the head's whole gradient in float32, which is memory traffic."""
CACHED_GATES = 1 << 19
"""Gate and up values per chunk: 1 MB in bfloat16, which stays in cache."""
QUERY_BLOCK = 128
"""Queries per block of causal attention: a block attends only to the keys up to its end."""


def linear(x: Tensor, gain_D: Tensor, *weights: Tensor) -> Tensor:
    """x * gain times several matrices at once, their results side by side.

    The gain of a norm is multiplied into the matrices that read the norm's output: they are smaller than the output.
    """
    return F.linear(x, (torch.cat(weights) if len(weights) > 1 else weights[0]) * gain_D)


def autocast_dtype(x: Tensor) -> torch.dtype:
    """The type in which matrix products are computed now."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


def use_cpu_kernels(x: Tensor) -> bool:
    """Whether these kernels are faster: in training on a CPU, not compiled. Elsewhere PyTorch's own are as good."""
    return x.device.type == "cpu" and torch.is_grad_enabled() and not torch.compiler.is_compiling()


# -- norm --------------------------------------------------------------------------------------------------------------


def rms_normalize(x: Tensor, eps: float) -> Tensor:
    """x / sqrt(mean(x^2) + eps) over the last dimension, in the type of matrix products. The gain is the caller's."""
    result: Tensor = _RMSNormalize.apply(x, eps, autocast_dtype(x))
    return result


def inverse_rms(x: Tensor, eps: float) -> Tensor:
    """1 / sqrt(mean(x^2) + eps) over the last dimension, which is kept: float32."""
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
    return norm.square_().div_(x.shape[-1]).add_(eps).rsqrt_()


class _RMSNormalize(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
        inverse = inverse_rms(x, eps)
        y = (x * inverse.to(x.dtype)).to(dtype)
        ctx.save_for_backward(y, inverse)
        ctx.dtype = x.dtype
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        y, inverse = ctx.saved_tensors
        return rms_normalize_gradient(dy, y, dy * y, inverse).to(ctx.dtype), None, None


def rms_normalize_gradient(
    dy: Tensor, y: Tensor, product: Tensor, inverse: Tensor, out: Tensor | None = None
) -> Tensor:
    """Gradient of rms_normalize; `product` is dy * y. The component of `dy` along y is removed."""
    # A product with a column of 1 / width is a mean, several times faster than `mean` in bfloat16.
    along = product @ product.new_full((product.shape[-1], 1), 1 / product.shape[-1])
    return torch.addcmul(dy, y, along, value=-1, out=out).mul_(inverse.to(dy.dtype))


# -- attention ---------------------------------------------------------------------------------------------------------


def self_attention(
    qkv_BTX: Tensor,
    gains: tuple[Tensor, Tensor] | None,
    cos_TC: Tensor,
    sin_TC: Tensor,
    heads: int,
    eps: float,
    causal: bool,
) -> Tensor:
    """QK-norm (if there are gains), RoPE and softmax(q k^T / sqrt(C)) v, from projections side by side to (B, T, H*C).

    Args:
        qkv_BTX: queries, keys and values of all heads, in the type of matrix products; as many key heads as query
        heads. gains: of the norms of queries and keys, (C,) each. cos_TC, sin_TC: RoPE's angles, their second half
        equal to the first.
    """
    q_gain, k_gain = gains or (None, None)
    result: Tensor = _SelfAttention.apply(qkv_BTX, q_gain, k_gain, cos_TC, sin_TC, heads, eps, causal)
    return result


class _SelfAttention(Function):
    @staticmethod
    def forward(
        ctx: Any, qkv_BTX: Tensor, q_gain: Tensor | None, k_gain: Tensor | None,
        cos: Tensor, sin: Tensor, heads: int, eps: float, causal: bool,
    ) -> Tensor:  # fmt: skip
        batch, length, _ = qkv_BTX.shape
        # Heads first: queries, keys and values are then whole blocks of memory, and no part is copied again.
        qkv_XBTC = qkv_BTX.view(batch, length, 3 * heads, -1).permute(2, 0, 1, 3).contiguous()
        qk, v = qkv_XBTC[: 2 * heads], qkv_XBTC[2 * heads :].flatten(0, 1)
        inverse = inverse_rms(qk, eps) if q_gain is not None else None
        unit = qk * inverse.to(qk.dtype) if inverse is not None else qk
        table = _angles(q_gain, k_gain, cos, sin, heads, qk.dtype)
        rotated = _apply_rotary(unit, *table)
        q, k = rotated[:heads].flatten(0, 1), rotated[heads:].flatten(0, 1)
        y, weights = _attend(q, k, v, causal)
        ctx.save_for_backward(unit, inverse, q_gain, k_gain, *table, q, k, v, *weights)
        ctx.heads = heads
        return y.view(heads, batch, length, -1).permute(1, 2, 0, 3).reshape(batch, length, -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy_BTX: Tensor) -> tuple[Tensor | None, ...]:
        unit, inverse, q_gain, k_gain, cos, sin, q, k, v, *weights = ctx.saved_tensors
        (batch, length, _), heads = dy_BTX.shape, ctx.heads
        dy = dy_BTX.view(batch, length, heads, -1).permute(2, 0, 1, 3).reshape(q.shape)
        dqkv_XBTC = dy.new_empty(3 * heads, batch, length, dy.shape[-1])
        drotated = torch.empty_like(unit)
        dq, dk = drotated[:heads].flatten(0, 1), drotated[heads:].flatten(0, 1)
        _attend_gradient(dy, q, k, v, weights, (dq, dk, dqkv_XBTC[2 * heads :].flatten(0, 1)))
        dunit, dqk = _rotary_gradient(drotated, cos, sin), dqkv_XBTC[: 2 * heads]
        dq_gain = dk_gain = None
        if inverse is not None:
            product = dunit * unit
            # The gains are part of the table, so dunit is gain * d(gain * unit): one sum gives their gradients too.
            summed_XC = (product.new_ones(1, length) @ product).float().sum((1, 2))
            dq_gain, dk_gain = summed_XC[:heads].sum(0) / q_gain, summed_XC[heads:].sum(0) / k_gain
            rms_normalize_gradient(dunit, unit, product, inverse, out=dqk)
        else:
            dqk.copy_(dunit)
        return dqkv_XBTC.permute(1, 2, 0, 3).reshape(batch, length, -1), dq_gain, dk_gain, None, None, None, None, None


def _angles(
    q_gain: Tensor | None, k_gain: Tensor | None, cos: Tensor, sin: Tensor, heads: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """RoPE's tables for queries and keys, (2 * heads, 1, T, C), gains and 1 / sqrt(C) included."""
    ones = torch.ones(cos.shape[-1], device=cos.device)
    gains = (q_gain if q_gain is not None else ones) / math.sqrt(len(ones)), k_gain if k_gain is not None else ones
    # The rotated channel c takes gain * unit of channel c by the cosine, and of its partner c +- C/2 by the sine.
    tables = [(cos * gain, sin * gain.roll(len(ones) // 2)) for gain in gains]
    pair = [torch.stack(part).to(dtype)[:, None, None] for part in zip(*tables, strict=True)]
    cosines, sines = (part.expand(-1, heads, -1, -1, -1).flatten(0, 1) for part in pair)
    return cosines, sines


def _apply_rotary(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """RoPE: (a, b) -> (a cos - b sin, b cos + a sin), a and b the two halves of the channels."""
    half = x.shape[-1] // 2
    result = x * cos
    result[..., :half].addcmul_(x[..., half:], sin[..., :half], value=-1)
    result[..., half:].addcmul_(x[..., :half], sin[..., half:])
    return result


def _rotary_gradient(dx: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Gradient of _apply_rotary."""
    half = dx.shape[-1] // 2
    result = dx * cos
    result[..., :half].addcmul_(dx[..., half:], sin[..., half:])
    result[..., half:].addcmul_(dx[..., :half], sin[..., :half], value=-1)
    return result


def _blocks(length: int, causal: bool) -> list[tuple[slice, int]]:
    """Blocks of queries, with the number of keys that each attends to."""
    if not causal:
        return [(slice(0, length), length)]
    return [
        (slice(start, min(start + QUERY_BLOCK, length)), min(start + QUERY_BLOCK, length))
        for start in range(0, length, QUERY_BLOCK)
    ]


def _attend(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> tuple[Tensor, list[Tensor]]:
    """softmax(q k^T) v with q, k, v (B*H, T, C), and the weights of each block of queries."""
    y, weights = torch.empty_like(q), []
    for block, keys in _blocks(q.shape[1], causal):
        score = torch.bmm(q[:, block], k[:, :keys].transpose(1, 2))
        if causal:
            size = block.stop - block.start
            later = torch.full((size, size), -torch.inf, dtype=score.dtype, device=score.device).triu_(1)
            score[:, :, block.start :] += later
        weight = score.softmax(-1)
        y[:, block].baddbmm_(weight, v[:, :keys], beta=0)
        weights.append(weight)
    return y, weights


def _attend_gradient(
    dy: Tensor, q: Tensor, k: Tensor, v: Tensor, weights: list[Tensor], into: tuple[Tensor, Tensor, Tensor]
) -> None:
    """Gradients of _attend for q, k and v, written `into` three tensors of their shapes."""
    dq, dk, dv = into
    blocks = list(zip(weights, _blocks(q.shape[1], len(weights) > 1), strict=True))
    for weight, (block, keys) in reversed(blocks):  # the last block meets all keys, the others add to what it wrote
        dweight = torch.bmm(dy[:, block], v[:, :keys].transpose(1, 2))
        dscore = torch._softmax_backward_data(dweight, weight, -1, weight.dtype)
        dq[:, block].baddbmm_(dscore, k[:, :keys], beta=0)
        beta = 0 if keys == q.shape[1] else 1
        dk[:, :keys].baddbmm_(dscore.transpose(1, 2), q[:, block], beta=beta)
        dv[:, :keys].baddbmm_(weight.transpose(1, 2), dy[:, block], beta=beta)


# -- feed-forward ------------------------------------------------------------------------------------------------------


def swiglu(both_BTX: Tensor) -> Tensor:
    """silu(gate) * up, gate and up side by side in `both_BTX`: (B, T, 2F) to (B, T, F)."""
    result: Tensor = _SwiGLU.apply(both_BTX)
    return result


class _SwiGLU(Function):
    """SwiGLU in chunks that stay in cache between the passes over them."""

    @staticmethod
    def forward(ctx: Any, both: Tensor) -> Tensor:
        y = both.new_empty(*both.shape[:-1], both.shape[-1] // 2)
        acts = []
        for (gate, up), out in zip(_gates(both), y.flatten(0, -2).split(_gate_rows(both)), strict=True):
            acts.append(F.silu(gate))
            torch.mul(acts[-1], up, out=out)
        ctx.save_for_backward(both, *acts)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> Tensor:
        both, *acts = ctx.saved_tensors
        dboth = torch.empty_like(both)
        dys = dy.flatten(0, -2).split(_gate_rows(both))
        for (gate, up), (dgate, dup), act, piece in zip(_gates(both), _gates(dboth), acts, dys, strict=True):
            torch.mul(piece, act, out=dup)
            torch.ops.aten.silu_backward.grad_input(piece * up, gate, grad_input=dgate)
        return dboth


def _gate_rows(both: Tensor) -> int:
    """Rows of a chunk."""
    return max(1, CACHED_GATES // both.shape[-1])


def _gates(both: Tensor) -> list[tuple[Tensor, Tensor]]:
    """(gate, up) of each chunk, as views."""
    return [piece.chunk(2, dim=-1) for piece in both.flatten(0, -2).split(_gate_rows(both))]


# -- loss --------------------------------------------------------------------------------------------------------------


def linear_cross_entropy(x_ND: Tensor, weight_VD: Tensor, targets_N: Tensor) -> Tensor:
    """Summed cross entropy (nats, float32 scalar) of `targets_N` under softmax(x_ND weight_VD^T).

    The logits of a batch are its largest tensor by far. They are computed in chunks of `logit_rows`; each chunk is
    turned into its gradient in place, in the forward pass, so none is kept for the backward pass.
    """
    dtype = autocast_dtype(x_ND)
    total: Tensor = _LinearCrossEntropy.apply(x_ND.to(dtype), weight_VD.to(dtype), targets_N)
    return total


def logit_rows(vocab_size: int, device: str) -> int:
    """Rows of a chunk of logits on a device of that type."""
    return max(1, (LOGITS_CHUNK if device == "cpu" else DEVICE_CHUNK) // vocab_size)


class _LinearCrossEntropy(Function):
    @staticmethod
    def forward(ctx: Any, x_ND: Tensor, weight_VD: Tensor, targets_N: Tensor) -> Tensor:
        with torch.autocast(x_ND.device.type, enabled=False):
            total = torch.zeros((), dtype=torch.float32, device=x_ND.device)
            trained = ctx.needs_input_grad[1]  # LoRA freezes the head
            dx_ND = torch.empty_like(x_ND)
            dweight_VD = torch.zeros_like(weight_VD, dtype=torch.float32) if trained else None
            rows = logit_rows(len(weight_VD), weight_VD.device.type)
            for start in range(0, len(x_ND), rows):
                x, targets = x_ND[start : start + rows], targets_N[start : start + rows]
                loss, dlogits = _loss_and_gradient(F.linear(x, weight_VD), targets)
                total += loss
                torch.mm(dlogits, weight_VD, out=dx_ND[start : start + rows])
                if dweight_VD is not None:
                    dweight_VD += dlogits.T @ x
        ctx.save_for_backward(dx_ND, None if dweight_VD is None else dweight_VD.to(weight_VD.dtype))
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dtotal: Tensor) -> tuple[Tensor | None, ...]:
        dx_ND, dweight_VD = ctx.saved_tensors
        dweight_VD = None if dweight_VD is None else dweight_VD * dtotal.to(dweight_VD.dtype)
        return dx_ND * dtotal.to(dx_ND.dtype), dweight_VD, None


def _loss_and_gradient(logits_NV: Tensor, targets_N: Tensor) -> tuple[Tensor, Tensor]:
    """Summed loss, and its gradient with respect to the logits (softmax minus one-hot), which overwrites them."""
    probability_NV = torch.ops.aten._softmax.out(logits_NV, -1, False, out=logits_NV)
    target_index = torch.arange(len(targets_N), device=targets_N.device), targets_N
    at_target_N = probability_NV[target_index]
    # float32's smallest normal number stands for zero: a loss of 87 nats, and finite
    total = -at_target_N.float().clamp_min(1.2e-38).log_().sum()
    probability_NV[target_index] = at_target_N - 1
    return total, probability_NV
