"""How well speech is written down: hearing manifests, keeping what was heard, figures, comparisons."""
