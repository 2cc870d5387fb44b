"""Recorder for any trainer: what a training run read, ran, cost and wrote, as a chain of hashed lines.

greenhouse-record --data data/ --out model/ -- torchrun train.py --config c.yaml

with recorded(data="data/", out="model/") as run:
    run.log(step=1, loss=3.2)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from greenhouse_record.recording import recorded

__version__ = "0.1.0"
__all__ = ["recorded"]


def __getattr__(name: str) -> Any:
    """`recorded`, imported when asked for: who imports a part of this package gets that part."""
    if name == "recorded":
        from greenhouse_record.recording import recorded

        return recorded
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
