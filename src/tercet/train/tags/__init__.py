"""Tag heads: trained on the taps of scenes, or on labelled clips. `running.run` carries a recipe out."""
