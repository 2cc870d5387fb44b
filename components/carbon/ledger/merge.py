"""Merging of ledgers: two clones that meter one machine at once read the same counters, which count once.

In time that the readings of k meters cover, each reading stands for one k-th of the host and of what is divided equally
(idle energy, a GPU that hides its processes). What a span used itself (CPU-seconds, resident bytes) is its own and
stays whole.
"""

from collections import defaultdict
from collections.abc import Sequence

Interval = tuple[str, int, int]
"""Meter (`book`), beginning and end of a reading in microseconds."""


def counted_us(intervals: Sequence[Interval]) -> list[int]:
    """Microseconds of each interval that count: all where one meter covers the time, a k-th where k do."""
    events = [(start, 1, number) for number, (_, start, _) in enumerate(intervals)]
    events += [(end, 0, number) for number, (_, _, end) in enumerate(intervals)]
    open_now: dict[str, set[int]] = defaultdict(set)
    credit, last_us = [0.0] * len(intervals), 0
    for at_us, begins, number in sorted(events):
        meters = [numbers for numbers in open_now.values() if numbers]
        for numbers in meters:
            for interval in numbers:
                credit[interval] += (at_us - last_us) / len(meters)
        last_us = at_us
        (open_now[intervals[number][0]].add if begins else open_now[intervals[number][0]].discard)(number)
    return [int(us + 1e-6) for us in credit]
