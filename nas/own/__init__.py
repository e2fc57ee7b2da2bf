"""The user's own network beside those of a run: traced, counted and measured like them."""
