"""A teacher's text for recordings: what is cut and packed, heard, written to shards, and filtered."""
