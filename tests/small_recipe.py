"""A recipe whose training takes a moment."""

SMALL = """
source = {kind = "shapes", count = 40, size = 32}
view = {size = 32}
vocabulary = {min_count = 1}
encoder = {kind = "mosaic", tiles = 4}
decoder = {kind = "show-and-tell", embedding = 16, hidden = 32}
training = {epochs = 2, captions_a_step = 40}
search = {kind = "greedy", max_words = 12}
"""
