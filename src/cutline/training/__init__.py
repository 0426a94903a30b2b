"""Recipes are trained here: what is shown, losses, the loop, a run that can be resumed."""
