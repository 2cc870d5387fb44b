"""Figures of reports."""

from components.reporting.figures import error_bars


def test_a_value_without_an_interval_has_no_bar() -> None:
    assert error_bars([1.0, 2.0], [0.5, None], [3.0, None]).tolist() == [[0.5, 0.0], [2.0, 0.0]]
