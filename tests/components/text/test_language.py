"""Languages of texts that are walked at once: the answers of the package, text by text."""

import numpy as np
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from components.text.language import BLOCK_TEXTS, MEMBERS, excerpt, identify_all
from tests.components.stages.filter.test_stage import ORDINARY


def test_what_is_walked_at_once_is_what_the_package_says_text_by_text() -> None:
    texts = [text * times for text in ORDINARY.values() for times in (1, 9, 40)]
    texts += [text.upper() for text in texts] + ["", "\n", "7", "e\u0301\ud800", "a\xff\xe9"]
    texts += [text[at : at + 30] for text in texts for at in range(0, 90, 9)]
    assert len(texts) > BLOCK_TEXTS
    package = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    languages, probabilities, kept = identify_all(texts, ["de", "ar"])
    for number, text in enumerate(texts):
        ranked = dict(package.rank(excerpt(text)))
        for name, of in MEMBERS.items():
            ranked[of] += ranked.pop(name)
        assert languages[number] == max(ranked, key=ranked.__getitem__), text
        expected = [max(ranked.values()), ranked["de"] + ranked["ar"]]
        assert np.allclose([probabilities[number], kept[number]], expected, rtol=0, atol=0.000501), text
