"""Whisper base's weights, tokenizer and settings. Data only: nothing here is meant to be imported."""
