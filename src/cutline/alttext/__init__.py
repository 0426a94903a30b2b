"""Alt texts in HTML and Markdown pages: find what is missing, fill it, change nothing else."""
