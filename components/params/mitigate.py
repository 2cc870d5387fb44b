"""Settings of `greenhouse study mitigate`: the trial of counterfactual augmentation."""

from pydantic import Field

from components.params.pretrain import ModelShape
from components.params.section import Section


class Mitigate(Section):
    """Pretraining with counterfactual copies, without, and with random copies of equal size: same seeds and tokens."""

    seeds: int = Field(default=5, ge=2, le=50)
    """Runs of each arm; they differ in initialisation, data order and draw of the mixture. No interval below five."""
    model: ModelShape = ModelShape(size=2, width=128)
    """Shape of the networks."""
    steps: int = Field(default=200, ge=1)
    """Optimizer steps of each run."""
    batch: int = Field(default=16, ge=1)
    """Sequences per step."""
    context: int = Field(default=128, ge=16)
    """Tokens per sequence."""
    heldout_kilobytes: float = Field(default=60.0, gt=0.0)
    """Held-out text scored per source (10^3 bytes)."""
