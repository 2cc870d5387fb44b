"""Stage `bias`: measure groups, filter toxic text, audit the filter."""
