"""A CUDA device that computes on the CPU: tensors that say cuda:0 and hold CPU tensors, with true values.

It refuses what CUDA refuses (an operation on tensors of both devices), and counts what costs time or repeatability
there: waits for the device, blocking copies, operations without a deterministic kernel. A PyTorch without CUDA needs
guard.cpp preloaded: a device guard and hooks that do nothing.
"""

import collections
import threading
from typing import Any

import torch
import torch._dynamo  # looks at all functions of torch when it is first imported: before some are replaced
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map

# Each takes no tensor of another device, not even one of no dimension.
STRICT = {"_fused_adamw_", "embedding", "bmm", "mm", "addmm", "cat", "stack", "gather", "scatter", "index_select"}
INDEXED = {"index", "index_put", "index_put_", "_index_put_impl_"}
WAITS = {"_local_scalar_dense", "nonzero", "equal", "masked_select", "unique_consecutive", "_unique2"}
# From the documentation of use_deterministic_algorithms; cumsum of floating-point numbers, bincount with weights.
UNREPEATABLE = {"histc", "kthvalue", "put_", "nll_loss2d_forward", "reflection_pad1d_backward", "cumsum", "bincount"}


class Pretended(torch.Tensor):
    """A tensor that says it is on cuda:0."""

    on_cpu: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> "Pretended":
        made = torch.Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=inner.stride(), storage_offset=inner.storage_offset(), dtype=inner.dtype,
            device=torch.device("cuda:0"), requires_grad=False,
        )  # fmt: skip
        made.on_cpu = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        with MODE:
            return func(*args, **(kwargs or {}))

    def tolist(self) -> Any:
        """One wait for the device, as on a GPU."""
        return self.cpu().tolist()

    def untyped_storage(self) -> Any:
        return self.on_cpu.untyped_storage()

    def numpy(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first.")


class PretendMode(TorchDispatchMode):
    """Every operation while it is on; `counts` has (kind, operation) -> times."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: collections.Counter[tuple[str, str]] = collections.Counter()

    def total(self, kind: str) -> int:
        """How many operations of that kind there were."""
        return sum(times for (of, _), times in self.counts.items() if of == kind)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        flat = tree_flatten((args, kwargs))[0]
        ours = [one for one in flat if isinstance(one, Pretended)]
        device = torch.device(kwargs["device"]).type if kwargs.get("device") is not None else ""
        if not ours and device != "cuda":
            return func(*args, **kwargs)
        if torch.is_inference_mode_enabled():  # where composite operations come whole
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        name = func._opname
        if name == "device":
            return torch.device("cuda:0")
        theirs = [one for one in flat if isinstance(one, torch.Tensor) and not isinstance(one, Pretended)]
        self._refuse_mixed(name, args, ours, theirs)
        self._count(name, args, flat, ours, device, bool(kwargs.get("non_blocking")))
        plain = tree_map(lambda one: one.on_cpu if isinstance(one, Pretended) else one, (args, kwargs))
        if device:
            plain[1]["device"] = torch.device("cpu")
        plain[1].pop("pin_memory", None)
        result = func(*plain[0], **plain[1])
        if name == "_local_scalar_dense":
            return result
        if device == "cpu" and name == "_to_copy":
            return result.clone()
        if name == "copy_" and not isinstance(args[0], Pretended):
            return args[0]
        same = {id(one.on_cpu): one for one in ours}  # in place and out=: the object that was given

        def wrapped(one: Any) -> Any:
            return same.get(id(one), one) if id(one) in same or not isinstance(one, torch.Tensor) else Pretended(one)

        result = tree_map(wrapped, result)
        return result if func._schema.is_mutable else return_and_correct_aliasing(func, args, kwargs, result)

    def _refuse_mixed(self, name: str, args: Any, ours: list, theirs: list) -> None:
        if not ours or name in ("_to_copy", "copy_", "set_"):
            return
        for one in theirs:
            index = name in INDEXED and one is not args[0] and one.dtype in (torch.int64, torch.bool)
            if not index and (name in STRICT or one.dim()):
                shape = tuple(one.shape)
                raise RuntimeError(f"{name}: tensors on cuda:0 and on the CPU {shape}, which CUDA refuses")

    def _count(self, name: str, args: Any, flat: list, ours: list, device: str, non_blocking: bool) -> None:
        masks = name == "index" and any(isinstance(one, torch.Tensor) and one.dtype == torch.bool for one in flat[1:])
        if name in WAITS or masks or (name == "_to_copy" and device == "cpu" and ours):
            self.counts["wait", name] += 1
        if name == "_to_copy" and device == "cuda" and not ours and not (non_blocking and hasattr(args[0], "pinned")):
            self.counts["blocking copy", name] += 1
        fine = (name == "cumsum" and not args[0].is_floating_point()) or (name == "bincount" and len(args) < 2)
        if name in UNREPEATABLE and not fine and torch.are_deterministic_algorithms_enabled():
            self.counts["unrepeatable", name] += 1


MODE = PretendMode()


def pinned(tensor: torch.Tensor) -> torch.Tensor:
    """A copy that says it lies in pinned memory; the main thread would wait for it."""
    if threading.current_thread() is threading.main_thread():
        MODE.counts["blocking copy", "pin_memory"] += 1
    copied: Any = tensor.clone()
    copied.pinned = True
    return copied


def install() -> None:
    """Have this process believe in one GPU of 80 GB."""
    cuda: Any = torch.cuda
    cuda.is_available = cuda.is_initialized = cuda.is_bf16_supported = lambda *_, **__: True
    cuda._lazy_init = cuda.set_device = lambda *_, **__: None
    cuda.current_device, cuda.device_count = lambda: 0, lambda: 1
    cuda.mem_get_info = lambda *_: (80 * 10**9, 80 * 10**9)
    cuda.memory_allocated = lambda: 0
    torch.Tensor.pin_memory = pinned  # type: ignore[method-assign, assignment]
    cuda.get_rng_state_all, cuda.get_device_name = list, lambda *_: "NVIDIA H100 80GB HBM3"
    torch.__future__.set_swap_module_params_on_conversion(False)
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(...) is not dispatched to the mode
    MODE.__enter__()
