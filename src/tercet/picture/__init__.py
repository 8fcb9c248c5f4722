"""One recording as one picture: what was heard, and where. PNG, SVG, or a page with its sound."""
