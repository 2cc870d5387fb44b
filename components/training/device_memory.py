"""Memory of the device that trains."""

from pathlib import Path

import psutil


def bytes_of(device: str) -> int:
    """Memory of the device: of the machine, or of the container if that has less."""
    if device == "cuda":
        import torch

        return int(torch.cuda.mem_get_info()[1])
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.exists() else ""
    total = int(psutil.virtual_memory().total)
    return min(total, int(text)) if text.isdigit() else total


def gigabytes(size: float) -> str:
    """Bytes as a person reads them."""
    return f"{size / 1e9:.3g} GB"
