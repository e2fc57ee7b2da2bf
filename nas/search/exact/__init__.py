"""Searches that prove how far from the best they are."""

from nas.search.exact.programme import Budgets, Programme
from nas.search.exact.solver import Solution, most_entropy

__all__ = ["Budgets", "Programme", "Solution", "most_entropy"]
