"""What a reader of a picture is told in it."""

from components.reporting.figures import WIDTH, figure
from components.stages.evaluate.stage import _lines
from components.stages.evaluate.tasks.task import Curve


def test_digits_have_whole_ticks_and_the_legend_says_what_a_band_is() -> None:
    points = [
        {"series": series, "x": digits, "y": 0.5, "low": 0.4, "high": 0.6, "n": 9}
        for series in ("direct", "steps")
        for digits in (2, 3)
    ]
    drawing, [axes] = figure(WIDTH, 3.0)
    _lines(Curve("chain_of_thought", "Sums with and without steps", "digits", "exactly right", points), axes)
    drawing.draw_without_rendering()
    low, high = axes.get_xlim()
    assert [tick for tick in axes.get_xticks() if low <= tick <= high] == [2.0, 3.0]
    assert [text.get_text() for text in drawing.legends[0].get_texts()] == ["direct", "steps", "band: 95% interval"]
