"""How good a model is: captions of a split, scores, what is wrong with it."""
