"""The data card: what the corpus is made of, under which licences, what was removed, from whom, and what is not known.

Everything in it is read from what the stages left under `data/` and `reports/`; a stage that has not run is left out.
"""

from components.stages.account.model_card import environment
from components.stages.account.types import StageRecords

LIMITS = (
    "Groups of people are found by a lexicon: it sees mention, not identity and not authorship, knows no names and no "
    "irony, and is English.",
    "Licences are what the sources state; whether a statement is true, or covers what a text quotes, was not checked.",
    "Personal data is found by patterns and checksums: names and postal addresses are not found.",
    "Quality rules judge the form of a text, not whether it is true or worth learning from.",
    "What was never collected is in none of these tables.",
)
"""What the tables cannot know."""


def data_card(records: StageRecords, title: str) -> str:
    """The card as Markdown."""
    return str(environment().get_template("data.md.j2").render(facts=records, title=title, limits=LIMITS))
