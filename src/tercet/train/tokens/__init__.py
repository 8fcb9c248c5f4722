"""Quantizers: trained against the frozen decoder, on speech. `running.run` carries a recipe out."""
