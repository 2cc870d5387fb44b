"""Two counts that all scores are made of: a share, and what occurs more than once."""

import numpy as np


def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, 0 where whole is 0; float64."""
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


def repeats(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which keys occur more than once (bool), which keys come first of their kind (bool), how often each occurs."""
    if not len(keys):
        return np.zeros(0, bool), np.zeros(0, bool), np.zeros(0, np.int64)
    order = np.argsort(keys)
    ordered = keys[order]
    begins = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    per_group = np.diff(np.append(begins, len(keys)))
    count = np.empty(len(keys), dtype=np.int64)
    count[order] = np.repeat(per_group, per_group)
    is_first = np.zeros(len(keys), dtype=bool)
    # The sort is fast and not stable; the smallest place of a group is the same whatever it did.
    is_first[np.minimum.reduceat(order, begins)] = True
    return count > 1, is_first, count
