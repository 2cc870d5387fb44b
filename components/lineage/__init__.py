"""From a text to its documents, and from a document to the steps that trained on it."""
