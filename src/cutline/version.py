"""The version, recorded in files that cutline writes."""

__version__ = "0.1.0"
