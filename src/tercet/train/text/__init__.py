"""Text decoders: distilled from a teacher's labels, or fine-tuned. `running.run` carries a recipe out."""
