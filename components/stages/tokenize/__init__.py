"""Stage `tokenize`: train the BPE, encode the corpus."""
