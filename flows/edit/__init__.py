"""`greenhouse edit`: edits of params.yaml that keep its comments and show what changes."""
