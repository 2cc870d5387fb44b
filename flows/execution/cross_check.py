"""codecarbon beside the ledger, as a second opinion: `GREENHOUSE_CODECARBON=1 make demo`, where it is installed.

It meters the whole machine for the length of a pipeline run, by its own model and its own table of intensities, without
the network. Its figures become labels of the run's span in the ledger and stand beside ours in the report. It is asked
for by hand, because starting it takes more than a second, which the ledger does not.
"""

import os
import threading
from typing import Any

from components.params import Params

INTERVAL_S = 5.0


class CrossCheck:
    """One run under codecarbon's eyes; does nothing unless asked for. Starts beside the run, which does not wait."""

    def __init__(self, params: Params) -> None:
        self._tracker: Any = None
        self._zone = params.runtime.grid.zone
        self._thread = threading.Thread(target=self._start, name="codecarbon", daemon=True)
        self.asked = os.environ.get("GREENHOUSE_CODECARBON") == "1"
        if self.asked:
            self._thread.start()

    def _start(self) -> None:
        try:
            from codecarbon import OfflineEmissionsTracker

            country = {} if self._zone == "WORLD" else {"country_iso_code": self._zone}
            tracker = OfflineEmissionsTracker(
                measure_power_secs=INTERVAL_S, save_to_file=False, log_level="critical", **country
            )
            tracker.start()
            self._tracker = tracker
        except Exception as error:  # a second opinion must not take the run down with it
            print(f"codecarbon: not beside this run: {type(error).__name__}: {error}", flush=True)

    def labels(self) -> dict[str, str]:
        """What it measured, as labels of the run's span; empty if it did not."""
        if not self.asked:
            return {}
        self._thread.join(timeout=10)
        if self._tracker is None:
            return {}
        grams = 1000 * (self._tracker.stop() or 0.0)
        kwh = self._tracker.final_emissions_data.energy_consumed
        return {"codecarbon_kwh": f"{kwh:.6g}", "codecarbon_grams": f"{grams:.6g}"}
