"""Choices that are learnt by gradients: all options of a choice run at once, mixed by probabilities."""
