"""Properties of a text: code points, words, sentences, language, identity terms."""
