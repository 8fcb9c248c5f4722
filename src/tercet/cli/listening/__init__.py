"""Hearing recordings for a command: which ones, how far, where results go. One file for each concern."""
