"""What bases, rows and readers promise, a module for each part: bases.json."""
