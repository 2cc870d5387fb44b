"""Stage `filter`: quality rules, personal data, decontamination."""
