"""Search: proposers, limits, the study that records every trial, and the workers that evaluate."""
