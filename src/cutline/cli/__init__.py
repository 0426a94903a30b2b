"""The command line. A command is imported when it is called for."""
