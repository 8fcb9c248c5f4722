"""Training: one loop for every part that Tercet trains. Torch is imported here and in `model/` alone.

Nothing is imported by this page itself, so that `import tercet.train` costs nothing.
"""
