"""The gender swap: grammar of her, his and him; what stays; how often it is right on labelled sentences."""

import pytest

from components.synthetic.counterfactual import swap

LABELLED = """
I gave her the book. | I gave him the book.
Her book is red. | His book is red.
She lost her keys. | He lost his keys.
His answer surprised her. | Her answer surprised him.
The book is hers. | The book is his.
The book is his. | The book is hers.
He saw her. | She saw him.
He saw her and left. | She saw him and left.
We told her that he left. | We told him that she left.
A friend of hers, I think. | A friend of his, I think.
He is a friend of his. | She is a friend of hers.
HIS MAJESTY, the King | HER MAJESTY, the Queen
Mr. Smith met the waitress. | Mrs. Smith met the waiter.
He made her cry. | She made him cry.
The chairman thanked his wife. | The chairwoman thanked her husband.
She asked her quietly. | He asked him quietly.
It was her own idea. | It was his own idea.
the early hours of her life | the early hours of his life
Ask her to wait. | Ask him to wait.
They elected him; his brother was pleased. | They elected her; her sister was pleased.
She blamed herself for her early mistakes. | He blamed himself for his early mistakes.
Let her know when her father comes. | Let him know when his mother comes.
With her in the boat were two men. | With him in the boat were two women.
Between her and her sons there was peace. | Between him and his daughters there was peace.
"Is it his?" asked the boy. | "Is it hers?" asked the girl.
To him the prince gave his gloves. | To her the princess gave her gloves.
"""
HARD = """
I saw her duck under the rope. | I saw him duck under the rope.
They consider her brave. | They consider him brave.
She told her stories at bedtime. | He told him stories at bedtime.
"""


def labelled(text: str) -> list[tuple[str, str]]:
    """(sentence, its swap as a person writes it)."""
    return [(left.strip(), right.strip()) for left, right in (line.split(" | ") for line in text.strip().split("\n"))]


@pytest.mark.parametrize(("text", "swapped"), labelled(LABELLED))
def test_grammar(text: str, swapped: str) -> None:
    assert swap(text) == swapped


def test_its_known_limits_are_still_limits() -> None:
    """English leaves these open to a rule that sees one word. If they start to pass, docs/data.md may say so."""
    wrong = [text for text, swapped in labelled(HARD) if swap(text) != swapped]
    assert len(wrong) == 3


@pytest.mark.parametrize(
    "text",
    [
        "See the man page of ls, and man(1).",
        "self.he and obj.king.move() and $king and he_said and x@king.example",
        "Two volunteers to man the desk.",
        "Le roi est mort, vive le roi. Der Mann sieht die Frau. 彼女は本を読む。",
        "James wrote to Mary.",
        "",
    ],
)
def test_left_alone(text: str) -> None:
    assert swap(text) == text
