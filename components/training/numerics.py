"""Numerics of the process: threads, determinism, precision, compilation; a setting that is not available is refused."""

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from time import perf_counter
from typing import Any

import torch

from components.core.errors import UserError
from components.model.transformer import Transformer
from components.params import Numerics


def configure_torch(numerics: Numerics) -> str:
    """Set threads and determinism for this process; returns the device.

    Raises `UserError`: the device or the compiler that `numerics` asks for is not there.
    """
    raise_if_missing(numerics)
    if numerics.device == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS repeats its sums only with this
        torch.use_deterministic_algorithms(True)
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))  # before anything is asked of "the" device
    torch.set_num_threads(numerics.threads)
    keep_memory()
    return numerics.device


def raise_if_missing(numerics: Numerics) -> None:
    """Raise `UserError` if the device or the compiler that `numerics` asks for is not there."""
    if numerics.device == "cuda" and not torch.cuda.is_available():
        raise UserError("numerics.device = 'cuda': no CUDA device is visible to PyTorch; set it to cpu")
    if not numerics.compile or numerics.device != "cpu":
        return
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        raise UserError(
            "numerics.compile = true: torch.compile needs a C++ compiler and none was found (g++, clang++ or $CXX); "
            "install one, or set numerics.compile to false"
        ) from None


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Count numbers below 1e-38 as zero: they are slow in the processor, and softmax makes many."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def keep_memory() -> None:
    """Have glibc keep freed memory for the next step: page faults took a seventh of each step."""
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD: blocks up to 1 GB come from the heap
        mallopt(-1, (1 << 31) - 1)  # M_TRIM_THRESHOLD: the heap does not shrink


def product_dtype(device: str, dtype: str = "bfloat16") -> torch.dtype:
    """Type in which matrix products are computed: float32 for bfloat16 on a processor that has no such products.

    oneDNN has them from AVX512 on, and on ARM with BF16. Elsewhere PyTorch is sixty times slower than in float32 (AMD
    EPYC with AVX2: 1.3 instead of 80 GFLOPS a thread).
    """
    has_bfloat16 = device != "cpu" or (
        torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )
    return torch.bfloat16 if dtype == "bfloat16" and has_bfloat16 else torch.float32


def replaced(numerics: Numerics) -> str:
    """A sentence for the log if products are not computed in `numerics.dtype`; "" if they are."""
    if numerics.dtype == "float32" or product_dtype(numerics.device) == torch.bfloat16:
        return ""
    return (
        "numerics.dtype is bfloat16, which this processor multiplies sixty times as slowly as float32: products are "
        "computed in float32"
    )


def autocast(numerics: Numerics) -> AbstractContextManager:
    """Matrix products in `numerics.dtype`, or what stands for it here; weights, sums and softmax stay float32."""
    if product_dtype(numerics.device, numerics.dtype) == torch.float32:
        return nullcontext()
    return torch.autocast(numerics.device, torch.bfloat16)


def compile_training(model: torch.nn.Module, backend: str | Callable[..., Any] = "inductor") -> None:
    """Compile the blocks of every Transformer in `model` for `train` mode; `eval` mode stays as it is.

    Block by block, as all blocks are alike and the first one's code serves the rest. Embedding and loss stay outside:
    the compiled gradient of an embedding adds up in whatever order threads come, and runs would not repeat to the bit.
    Evaluation and samples have ever other lengths and caches, each of which would be compiled anew.
    """
    for module in model.modules():
        if isinstance(module, Transformer):
            module.compiled = [torch.compile(block.forward, backend=backend) for block in module.layers]


@contextmanager
def partitioned(model: torch.nn.Module) -> Iterator[None]:
    """Compile for a while without kernels: the backward pass needs what it does under Inductor, which cuts alike."""
    compile_training(model, "aot_eager_decomp_partition")
    try:
        yield
    finally:
        torch._dynamo.reset()  # graphs for these shapes would change those that training gets
        for module in model.modules():
            if isinstance(module, Transformer):
                module.compiled = []


DATASHEET_TFLOPS = {
    "B200": 2250, "H200": 989, "H100 PCIe": 756, "H100 NVL": 835, "H100": 989, "A100": 312, "L40S": 362, "L4": 121,
    "A10G": 70, "A10": 125, "RTX 4090": 165, "RTX 3090": 71,
}  # fmt: skip
"""Dense bfloat16 products of NVIDIA's datasheets, by part of the device's name; the first that fits."""


def peak_flops(numerics: Numerics) -> float:
    """Floating-point operations per second that MFU is a share of, of all `numerics.processes`. For display.

    A GPU's are its datasheet's for bfloat16, so that the share compares with what others publish; where the table lacks
    it, and on a CPU, they are those of a large product, best of three.
    """
    dtype = product_dtype(numerics.device, numerics.dtype)
    name = torch.cuda.get_device_name() if numerics.device == "cuda" else ""
    known = [peak for part, peak in DATASHEET_TFLOPS.items() if part in name and dtype == torch.bfloat16]
    return numerics.processes * (known[0] * 1e12 if known else measured_flops(numerics.device, dtype))


def measured_flops(device: str, dtype: torch.dtype) -> float:
    """Operations per second of a large product in this process, best of three."""
    size = 8192 if device == "cuda" else 1024
    a, best = torch.ones(size, size, dtype=dtype, device=device), float("inf")
    for _ in range(3):
        started = perf_counter()
        (a @ a)[0, 0].item()
        best = min(best, perf_counter() - started)
    return 2 * size**3 / best
