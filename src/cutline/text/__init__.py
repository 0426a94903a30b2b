"""Words: tokenizer, vocabulary, style, plain nouns."""
