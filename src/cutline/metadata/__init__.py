"""Captions in text files, XMP sidecars and pictures, and how to take them back."""
