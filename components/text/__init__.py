"""Properties of a text: code points, words, sentences, language, identity terms.

Five definitions of a word, each fixed by what its users compare with:

| definition of a word | where | who uses it, and why |
|---|---|---|
| run of letters, digits, `_`, marks (1) | `codepoints`, `packed_bytes` | dedup: shingles in every script, from bytes |
| the same after NFKC and case folding (1) | `passage_match` | opt-out, trace: found however it is spelt |
| run of ASCII letters and digits, bytes > 127 (2) | `similarity.ngram_overlap` | contamination, overlap: 13-grams |
| the first with a letter or digit in it (1) | `stages.filter.words` | filter: `\\w+`, and no punctuation |
| two or more of `[A-Za-z0-9_]` and the like | `identity_terms` | bias, mix: only where a listed term may begin |

(1) in scripts written without spaces each character by itself; (2) each character of U+3000 to U+9FFF by itself.

Two definitions of a sentence:

| definition of a sentence | where | who uses it, and why |
|---|---|---|
| up to a stop and white space, or an empty line | `sentences` | bias, mix: stable units of text that mention people |
| word after a mark that ends one (UAX 44) | `stages.filter.c4_signals` | filter: sentences of C4's lines of prose |
"""
