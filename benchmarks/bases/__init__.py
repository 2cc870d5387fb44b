"""What bases, rows and readers promise, a module for each part: bases.json."""

import os

BEFORE = dict(os.environ)
"""The environment as a person has it: importing flows sets this checkout's state and addresses for its children."""
