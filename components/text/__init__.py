"""Properties of a text: code points, words, sentences, language, identity terms.

Five definitions of a word, each fixed by what its users compare with:

| definition | where | who uses it | why |
|---|---|---|---|
| run of letters, digits, `_`, marks; each character of a script without spaces | `codepoints` kinds,
`packed_bytes.words` \ | dedup's shingles | every script; found in arrays of bytes, without a string per word |
| the same after NFKC and case folding, marks apart | `passage_match.words` | opt-out passages, `flows.trace` \
| a passage is found however it is spelt and wrapped |
| run of ASCII letters and digits and of bytes above 127; each ideograph | `similarity.ngram_overlap.words` \
| contamination, held-out overlap, trace | 13-grams as in GPT-3's appendix C; punctuation never hides a copy |
| spaCy's English tokens | `stages.filter.spacy_rules`, `word_tokens` | the filter's scores \
| published limits were set with datatrove, which splits so |
| two or more of `\\w` | `identity_terms.WORD` | bias stage, mix, probes | only finds where a listed term may begin |

Two ways to count sentences:

| definition | where | who uses it | why |
|---|---|---|---|
| up to a stop and white space, or an empty line; at most 600 characters | `sentences.sentences_of` | bias, mix \
| units of text that mention people; stable, for any script |
| a token after a mark that ends sentences (UAX 44), within a line | `stages.filter.c4_signals` | the filter's C4 rule \
| agrees with datatrove's counts, on arrays |
"""
