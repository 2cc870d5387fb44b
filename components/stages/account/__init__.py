"""Stage `account`: summary, report and cards."""
