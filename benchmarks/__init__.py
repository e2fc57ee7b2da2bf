"""Benchmarks: each prints one JSON line per figure, always beside a baseline measured in the same run."""
