"""Recorder for any trainer: what a training run read, ran, cost and wrote, as a chain of hashed lines.

greenhouse-record --data data/ --out model/ -- torchrun train.py --config c.yaml

with recorded(data="data/", out="model/") as run:
    run.log(step=1, loss=3.2)
"""

from __future__ import annotations

__version__ = "0.1.0"
