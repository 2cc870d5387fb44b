"""Tasks for fine-tuning, one file each; choice.py has the ordered lists and picks."""
