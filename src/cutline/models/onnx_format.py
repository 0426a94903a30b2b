"""What a one-file model says of its own form, for what writes it and what reads it."""

FORMAT = "1"
"""Of the one-file form; raised when an older cutline could not read it."""
