"""The version, which files that cutline writes carry."""

__version__ = "0.1.0"
