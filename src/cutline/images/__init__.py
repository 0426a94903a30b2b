"""Untrusted picture files in, pixels out: found, checked, decoded, ahead of their use."""
