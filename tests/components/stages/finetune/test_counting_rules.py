"""Rules that count: against scikit-learn, and the choice between tokens and words made without the held-out rows."""

import numpy as np
from sklearn.naive_bayes import MultinomialNB

from components.instruction_pairs.examples import Passage
from components.stages.finetune.counting_rules import (
    Counted,
    NaiveBayes,
    commonest,
    counted,
    counting,
    naive_bayes,
)
from components.tokens.tokenizer import Encoder, train_bpe

SIZE, TRAINED = 50, 60
RNG = np.random.default_rng(1)
IDS = [RNG.choice(SIZE, int(RNG.integers(5, 30)), p=np.arange(1, SIZE + 1) / 1275).tolist() for _ in range(90)]
LABELS = RNG.integers(0, 3, 90).tolist()
COUNTS = np.array([np.bincount(row, minlength=SIZE) for row in IDS])
VIEW = Counted(IDS[:TRAINED], IDS[TRAINED:], SIZE)


def test_naive_bayes_agrees_with_scikit_learn() -> None:
    for prior in (False, True):
        reference = MultinomialNB(alpha=1.0, fit_prior=prior).fit(COUNTS[:TRAINED], LABELS[:TRAINED])
        assert naive_bayes([VIEW], LABELS[:TRAINED], prior).tolist() == reference.predict(COUNTS[TRAINED:]).tolist()


def test_a_passage_left_out_is_decided_as_if_never_counted() -> None:
    trained = LABELS[:TRAINED]
    model = NaiveBayes(VIEW.train, trained, SIZE, prior=True)
    for left in range(TRAINED):
        others = [place for place in range(TRAINED) if place != left]
        reference = MultinomialNB(alpha=1.0).fit(COUNTS[others], [trained[place] for place in others])
        assert model.decide(IDS[left], own=trained[left]) == reference.predict(COUNTS[[left]])[0]


def test_several_classes_are_decided_one_by_one() -> None:
    several = [(0, 2) if 7 in row else (2,) for row in IDS]
    said_NK = counting("multi_label_classification", [VIEW], several[:TRAINED], 3)
    assert not said_NK[:, 1].any()
    assert said_NK[:, 2].all()
    reference = MultinomialNB(alpha=1.0).fit(COUNTS[:TRAINED], [0 in labels for labels in several[:TRAINED]])
    assert said_NK[:, 0].tolist() == reference.predict(COUNTS[TRAINED:]).tolist()


def test_words_are_counted_where_tokens_say_less() -> None:
    """Two words of the same letters: single characters, which are the tokens here, cannot tell them apart."""
    texts = [f"{'stop' if number % 2 else 'pots'} Number {number}." for number in range(40)]
    rows = [Passage(text, number % 2, "") for number, text in enumerate(texts)]
    views = counted(Encoder(train_bpe([], 263).to_str()), rows[:30], rows[30:], 64)
    assert naive_bayes(views, [row.label for row in rows[:30]]).tolist() == [row.label for row in rows[30:]]
    assert naive_bayes(views[:1], [row.label for row in rows[:30]]).tolist() != [row.label for row in rows[30:]]


def test_what_is_counted_follows_from_the_training_rows_alone() -> None:
    told = [[label] for label in LABELS]
    says_all = Counted(told[:TRAINED], told[TRAINED:], 3)
    only_heldout = Counted([[0]] * TRAINED, told[TRAINED:], 3)
    assert naive_bayes([only_heldout, VIEW, says_all], LABELS[:TRAINED]).tolist() == LABELS[TRAINED:]
    assert (
        naive_bayes([only_heldout, VIEW], LABELS[:TRAINED]).tolist() == naive_bayes([VIEW], LABELS[:TRAINED]).tolist()
    )


def test_a_text_without_words_is_counted_too() -> None:
    empty = Counted([*VIEW.train[:-1], []], [[], []], SIZE)
    assert naive_bayes([empty], LABELS[:TRAINED]).shape == (2,)


def test_what_is_commonest() -> None:
    several = [(0, 2) if 7 in row else (2,) for row in IDS]
    assert commonest("multi_label_classification", several, 2, 3).tolist() == [[False, False, True]] * 2
    assert commonest("single_label_classification", [1, 0, 1], 2, 2).tolist() == [[False, True]] * 2
