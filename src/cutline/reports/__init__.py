"""Pages and drawings of what was captioned, measured or trained."""
