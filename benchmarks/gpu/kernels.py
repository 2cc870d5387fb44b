"""Kernels of a block for an H100 that is not there: `python -m benchmarks.gpu.kernels CASE FOLDER`, counts as JSON.

PyTorch is told of a device with an H100's properties, and its tensors are fake. Inductor writes the kernels of a block
of gpu-124m, forward and backward; each is compiled to machine code of sm_90 by Triton and its ptxas, and none runs.
What Inductor's cut of the graph keeps for the backward pass is compared with the cut that the memory forecast asks.
Cases: causal-kernels, documents-kernels.
"""

import json
import sys
from types import SimpleNamespace
from typing import Any

import torch
import torch._dynamo.device_interface as interface
import torch._functorch.config
import torch._inductor.config
import torch.nn.init
from torch._dynamo.backends import debugging
from torch._inductor import async_compile, compile_fx
from torch._inductor.codecache import PyCodeCache
from torch._inductor.fx_passes import fuse_attention, misc_patterns, pad_mm
from torch._inductor.runtime import triton_helpers
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarks.results import ROOT
from components import params as schema
from components.model.shape import derive_shape
from components.model.transformer import Transformer

H100 = SimpleNamespace(
    name="NVIDIA H100 80GB HBM3", major=9, minor=0, total_memory=80 * 10**9, multi_processor_count=132, warp_size=32,
    regs_per_multiprocessor=65536, max_threads_per_multi_processor=2048, max_threads_per_block=1024, uuid="0",
    gcnArchName="sm_90", L2_cache_size=50 * 2**20, is_integrated=0, shared_memory_per_block=49152,
    shared_memory_per_block_optin=232448, shared_memory_per_multiprocessor=233472,
)  # fmt: skip
BATCH = 4


def says(value: Any) -> Any:
    """A function of anything that returns this."""
    return lambda *_, **__: value


def install() -> None:
    """Have PyTorch, Inductor and Triton believe in that device."""
    cuda: Any = torch.cuda
    torch.version.cuda = "13.0"
    for name in (
        "getDevice",
        "getCurrentRawStream",
        "getDeviceCount",
        "setDevice",
        "exchangeDevice",
        "maybeExchangeDevice",
    ):
        setattr(torch._C, f"_cuda_{name}", says(0))
    answers = {"is_available": True, "device_count": 1, "current_device": 0, "get_device_properties": H100,
               "get_device_capability": (9, 0), "is_initialized": True, "is_bf16_supported": True,
               "get_device_name": H100.name, "mem_get_info": (H100.total_memory,) * 2, "synchronize": None,
               "set_device": None, "_lazy_init": None, "_exchange_device": 0, "_maybe_exchange_device": 0,
               "get_rng_state": torch.zeros(16, dtype=torch.uint8), "set_rng_state": None}  # fmt: skip
    for name, answer in answers.items():
        setattr(cuda, name, says(answer))
    for name in ("get_rng_state", "set_rng_state", "current_device"):
        setattr(cuda.random, name, getattr(cuda, name))
    torch.accelerator.is_available = says(False)
    of_device: Any = interface.CudaInterface
    for owner, name, answer in (
        (of_device.Worker, "get_device_properties", H100), (of_device.Worker, "current_device", 0),
        (of_device, "get_device_properties", H100), (of_device, "get_compute_capability", 90),
        (of_device, "is_available", True), (of_device, "current_device", 0), (of_device, "device_count", 1),
    ):  # fmt: skip
        setattr(owner, name, staticmethod(says(answer)))
    for module, name in (
        (fuse_attention, "_sfdp_init"),
        (pad_mm, "_pad_mm_init"),
        (misc_patterns, "_misc_patterns_init"),
    ):
        setattr(module, name, says(None))  # they trace patterns on the device
    for name in ("kaiming_uniform_", "normal_", "uniform_", "ones_", "zeros_"):
        setattr(torch.nn.init, name, lambda tensor, *_, **__: tensor)
    settings: Any = torch._inductor.config
    settings.joint_graph_constant_folding, settings.compile_threads, settings.fx_graph_cache = False, 1, False
    torch._functorch.config.enable_autograd_cache = False
    torch._functorch.config.force_non_lazy_backward_lowering = True
    triton_driver()


def triton_driver() -> None:
    """The device, for Triton."""
    import triton
    from triton.backends.compiler import GPUTarget

    limits = {"max_shared_mem": 232448, "multiprocessor_count": 132, "warpSize": 32, "max_num_regs": 65536,
              "sm_clock_rate": 1980000, "mem_clock_rate": 2619000, "mem_bus_width": 5120}  # fmt: skip
    driver = SimpleNamespace(
        get_current_target=says(GPUTarget("cuda", 90, 32)), get_current_device=says(0), get_current_stream=says(0),
        get_active_torch_device=says(torch.device("cuda", 0)), get_device_interface=says(torch.cuda),
        is_active=says(True), utils=SimpleNamespace(get_device_properties=says(limits)),
    )  # fmt: skip
    triton.runtime.driver.set_active(driver)
    triton_helpers.set_driver_to_gpu = says(None)


def compiled(documents: bool) -> dict[str, Any]:
    """How many kernels were compiled to machine code, how many not, and the first reason."""
    kernels, faults = list[str](), list[str]()

    def compile_now(self: Any, name: str, source: str, device_str: str = "cuda") -> Any:
        try:
            kernel = getattr(PyCodeCache.load(source), name)
            kernel.set_compile_info(None, False)
            kernel.precompile(warm_cache_only=True)
            assert kernel.compile_results[0].kernel.cubin_raw
            kernels.append(name)
        except Exception as error:  # of many kinds, and each is a finding
            faults.append(f"{name}: {type(error).__name__}: {error}"[:400])
        return says(None)

    async_compile.AsyncCompile.triton = compile_now  # type: ignore[method-assign, assignment]
    params = schema.load(ROOT / "params.yaml", ROOT / "presets/gpu-124m.yaml").pretrain.causal
    one = params.model.model_copy(update={"size": 1, "width": 768, "heads": 12})
    shape = derive_shape(one, 50304, params.context, causal=True)
    torch.use_deterministic_algorithms(True)
    kept = kept_by_cuts()
    with FakeTensorMode(allow_non_fake_inputs=True), torch.device("cuda"):
        model, ids = Transformer(shape), torch.zeros(BATCH, params.context, dtype=torch.int64)
        at = model.positions(ids, torch.zeros_like(ids) if documents else None, None)
        x_BTD = torch.empty(BATCH, params.context, shape.width, requires_grad=True)
        try:
            with torch.autocast("cuda", torch.bfloat16):
                torch.compile(model.layers[0], backend="aot_eager_decomp_partition")(x_BTD, at)
                torch._dynamo.reset()
                torch.compile(model.layers[0])(x_BTD, at)
        except RuntimeError as error:  # all is compiled by now, and the first kernel would begin
            if "PyTorch compiled without support" not in str(error):
                faults.append(str(error)[:400])
    forecast, inductor = kept
    found = {"kernels_sm_90": len(kernels), "kernels_refused": len(faults), "kept_over_inductor": forecast / inductor}
    return found | ({"error": faults[0]} if faults else {})


def kept_by_cuts() -> list[int]:
    """A list that gets the bytes which each cut of a graph from now on keeps for the backward pass."""
    kept, cut = list[int](), compile_fx.min_cut_rematerialization_partition

    def counting(*given: Any, num_fwd_outputs: int, **named: Any) -> Any:
        forward, backward = cut(*given, num_fwd_outputs=num_fwd_outputs, **named)
        saved = forward.graph.output_node().args[0][num_fwd_outputs:]
        kept.append(sum(one.meta["val"].nbytes for one in saved if isinstance(one.meta["val"], torch.Tensor)))
        return forward, backward

    compile_fx.min_cut_rematerialization_partition = debugging.min_cut_rematerialization_partition = counting
    return kept


def main() -> None:
    """Compile the case's kernels; what was counted, or the reason why it was not tried."""
    install()
    print(json.dumps({"case": sys.argv[1]} | compiled(sys.argv[1].startswith("documents"))))


if __name__ == "__main__":
    main()
