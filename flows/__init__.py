"""Prefect flows: thin. One module per verb; layers below: system, tracking, planning, execution, serving.

Importing this package sets the environment, so that Prefect, MLflow and DVC, imported after it, read our settings.
Before that, a package that is missing ends the process with a sentence.
The import does not return where the console script was started in another checkout.
"""

import gc
import sys

from flows.system.entry import enter_checkout
from flows.system.missing_package import report_missing_packages

enter_checkout(sys.orig_argv)
report_missing_packages()  # before the first import of what Python itself does not have

from flows.system.environment import apply_environment  # noqa: E402

gc.set_threshold(50_000)  # at 700, a tenth of the time our libraries take to import is spent looking for garbage
apply_environment()
