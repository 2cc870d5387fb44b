"""`numerics` in params.yaml: how floats are computed."""

from typing import Literal

from pydantic import Field

from components.core.errors import UserError
from components.params.section import Section


class Numerics(Section):
    """How floats are computed. Identity: each of these may change bytes."""

    device: Literal["cpu", "cuda"] = "cpu"
    """Where tensors live."""
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    """Type of matrix products (float32 on a CPU without bfloat16); weights and optimizer state stay float32."""
    compile: bool = False
    """torch.compile the blocks; needs a C++ compiler on CPU. A missing one is an error, never a silent fallback."""
    threads: int = Field(default=1, ge=1, le=512)
    """Threads of each training or evaluation process: a fixed number, never all cores."""
    processes: int = Field(default=1, ge=1)
    """Training processes (torchrun)."""

    def raise_if_idle(self, section: str, batch: int) -> None:
        """Raise `UserError` if processes are more than a batch's examples; `section`: of params.yaml."""
        if self.processes > batch:
            raise UserError(
                f"numerics.processes = {self.processes} is more than {section}.batch = {batch}: some processes would "
                "have no example; set batch higher or processes lower"
            )
