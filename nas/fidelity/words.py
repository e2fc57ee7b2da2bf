"""What was found of a supernet's ranking, in sentences and tables."""

from nas.fidelity.result import SUPERNET, Correlation, Fidelity, Gap

NAMES = {
    SUPERNET: "inherited weights",
    "macs": "MACs",
    "params": "parameters",
    "entropy": "entropy (DeepMAD)",
    "synflow": "synflow",
    "jacobian_covariance": "Jacobian covariance",
    "naswot": "NASWOT",
    "gradient_norm": "gradient norm",
}
COUNTED = ("macs", "params")


def sentences(found: Fidelity) -> list[str]:
    """The outcome in a few sentences, what is doubtful of it last."""
    best = found.supernet
    low, high = (f"{macs / 1e6:.3g}" for macs in found.band)
    said = [
        f"{len(found.networks)} networks were trained alone for {_epochs(found.epochs)} (draw {found.seed}). Inherited "
        f"weights order them with a Kendall's tau of {best.all.kendall.text()}, a Spearman's rho of "
        f"{best.all.spearman.text()}; in brackets the 95 % bootstrap interval.",
        f"Among the {best.in_band.count} of {low} to {high} M MACs, where size tells little, tau is "
        f"{best.in_band.kendall.text()}.",
    ]
    said += [
        f"Their tau {verdict(ranker.ahead)} that of {NAMES[ranker.name]}; the difference is {ranker.ahead.text()}."
        for ranker in found.rankers
        if ranker.name in COUNTED
    ]
    said.append(
        f"The mean error is {_percent(found.inherited_error)} with inherited weights and {_percent(found.alone_error)} "
        f"after training alone.{'' if found.gap is None else f' {_gap(found.gap)}'}"
    )
    return [*said, *found.notes]


def verdict(ahead: Correlation) -> str:
    """What an interval of a difference says."""
    if ahead.low is None or ahead.high is None:
        return "cannot be told from"
    return "is above" if ahead.low > 0 else "is below" if ahead.high < 0 else "cannot be told from"


def ranker_rows(found: Fidelity) -> list[dict[str, str]]:
    """Every way to rank beside training alone, a row each."""
    return [
        {
            "ranked by": NAMES.get(ranker.name, ranker.name),
            "tau": ranker.all.kendall.text(),
            "rho": ranker.all.spearman.text(),
            "tau in band": ranker.in_band.kendall.text(),
            "supernet ahead": "" if ranker.name == SUPERNET else ranker.ahead.text(),
            "in band": "" if ranker.name == SUPERNET else ranker.ahead_in_band.text(),
        }
        for ranker in found.rankers
    ]


def dimension_rows(found: Fidelity) -> list[dict[str, str]]:
    """Agreement along each dimension, a row each."""
    return [
        {"along": name.replace("_", " "), "tau": one.kendall.text(), "rho": one.spearman.text()}
        for name, one in found.dimensions.items()
    ]


def _gap(gap: Gap) -> str:
    closed = "there is no gap to close" if gap.closed is None else f"that closes {100 * gap.closed:.0f} % of the gap"
    return (
        f"Of {gap.networks} networks the inherited weights were fine-tuned for {_epochs(gap.epochs)}, from "
        f"{_percent(gap.inherited_error)} to {_percent(gap.tuned_error)} against {_percent(gap.alone_error)} alone: "
        f"{closed}; tau goes from {gap.inherited.kendall.text()} to {gap.tuned.kendall.text()}."
    )


def _epochs(count: int) -> str:
    return "1 epoch" if count == 1 else f"{count} epochs"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
