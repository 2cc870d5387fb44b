"""NVML: the energy counters of NVIDIA's GPUs, through the `pynvml` module (package nvidia-ml-py).

A counter exists from the Volta generation on, counts millijoules since the driver was loaded, is 64 bits wide and never
wraps. It is the device's own: MIG instances show their device's once more, and are not asked. Power is never polled; a
GPU without a counter is not metered, and that is said.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

DEVICE = "/dev/nvidiactl"


def open_nvml() -> tuple[Any, str]:
    """The module, initialised (None if there is no GPU or no driver), and what is not metered ("" if nothing)."""
    if not os.path.exists(DEVICE):
        return None, ""
    try:
        import pynvml

        pynvml.nvmlInit()
        return pynvml, _lacking(pynvml)
    except Exception as error:  # whatever a broken driver raises: no stage fails for it
        return None, f"NVML cannot be opened ({type(error).__name__}: {error}): the energy of the GPUs is not counted"


def read_nvml(nvml: Any) -> tuple[dict[str, int], dict[str, list[int]]]:
    """Microjoules and the processes, per device: `nvml:0`. What the driver refuses, a lost device too, is left out."""
    energy: dict[str, int] = {}
    pids: dict[str, list[int]] = {}
    with contextlib.suppress(nvml.NVMLError):
        for index in range(nvml.nvmlDeviceGetCount()):
            with contextlib.suppress(nvml.NVMLError):
                _read_device(nvml, index, energy, pids)
    return energy, pids


def _read_device(nvml: Any, index: int, energy: dict[str, int], pids: dict[str, list[int]]) -> None:
    name, device = f"nvml:{index}", nvml.nvmlDeviceGetHandleByIndex(index)
    energy[name] = int(nvml.nvmlDeviceGetTotalEnergyConsumption(device)) * 1000
    pids[name] = []  # in a container that is all: the energy is known, whose it is is not
    pids[name] = [process.pid for process in nvml.nvmlDeviceGetComputeRunningProcesses(device)]


def devices(nvml: Any) -> list[Any]:
    """Handles of the devices, in the order of the bus; none without NVML."""
    return [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())] if nvml else []


def device_names(nvml: Any) -> list[str]:
    """Products, in the order of the bus: `NVIDIA H100 80GB HBM3`."""
    return [str(nvml.nvmlDeviceGetName(device)) for device in devices(nvml)]


def visible(nvml: Any, setting: str | None) -> set[str]:
    """Devices that a process with this CUDA_VISIBLE_DEVICES sees: `nvml:0`. All, if it is unset or names MIG instances.

    Numbers are taken in the order of the bus, which is CUDA's where all devices of a machine are alike.
    """
    uuids = [str(nvml.nvmlDeviceGetUUID(device)) for device in devices(nvml)]
    everything = setting is None or "MIG" in setting
    wanted = [word.strip() for word in (setting or "").split(",")]
    named = tuple(word for word in wanted if word.startswith("GPU-"))
    seen = (index for index, uuid in enumerate(uuids) if everything or str(index) in wanted or uuid.startswith(named))
    return {f"nvml:{index}" for index in seen}


def _lacking(nvml: Any) -> str:
    """Sentence about the devices that have no counter; "" if all have one."""
    counted = read_nvml(nvml)[0]
    lacking = [str(index) for index in range(nvml.nvmlDeviceGetCount()) if f"nvml:{index}" not in counted]
    return f"GPU {', '.join(lacking)} has no energy counter: its energy is not counted" if lacking else ""
