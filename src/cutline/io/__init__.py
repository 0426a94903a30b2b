"""Files of captions, tables, and atomic writes."""
