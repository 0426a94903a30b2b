"""The version of the one-file format, shared by the code that writes and reads it."""

FORMAT = "1"
"""Raised when older versions of cutline cannot read a new file."""
