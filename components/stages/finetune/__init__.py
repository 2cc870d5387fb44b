"""Stage `finetune`: instruction tuning and classification."""
