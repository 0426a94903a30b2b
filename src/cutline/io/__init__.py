"""Files of captions and tables, and the one way in which a file is written."""
