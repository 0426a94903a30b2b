"""What `refusal_pictures.py` draws with: a file for each family of pictures."""
