"""How far the ranking of a supernet can be trusted: its subnets against the same networks trained alone."""

from nas.fidelity.result import Agreement, Correlation, Fidelity, Gap, JudgedNetwork, Ranker

__all__ = ["Agreement", "Correlation", "Fidelity", "Gap", "JudgedNetwork", "Ranker"]
