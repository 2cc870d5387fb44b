"""Memory of the device that trains."""

import sys
from pathlib import Path

import psutil


def bytes_of(device: str) -> int:
    """Memory of the device: of the machine, or of the container if that has less."""
    if device == "cuda":
        import torch

        return int(torch.cuda.mem_get_info()[1])
    return min(int(psutil.virtual_memory().total), _of_container("max", sys.maxsize))


def free() -> int:
    """Memory of the machine, or of the container if that has less, that nobody uses."""
    return min(int(psutil.virtual_memory().available), _of_container("max", sys.maxsize) - _of_container("current", 0))


def _of_container(field: str, otherwise: int) -> int:
    path = Path(f"/sys/fs/cgroup/memory.{field}")
    text = path.read_text().strip() if path.exists() else ""
    return int(text) if text.isdigit() else otherwise


def gigabytes(size: float) -> str:
    """Bytes as a person reads them."""
    return f"{size / 1e9:.3g} GB"
