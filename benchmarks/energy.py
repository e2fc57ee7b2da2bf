"""How well measured energy of whole networks is learned, from few of them.

    python -m benchmarks.energy --data nb201_pi5_onnx_cifar100_lat_energy_acc.csv.gz [--fitted 100 900] [--seeds 5]

The networks are cells of NAS-Bench-201: an operator on each of six edges. The predictor sees how often each operator
occurs and which one lies on which edge, nothing measured; boosting over the same edges is the baseline. Cells without
an edge between the two inner nodes come twice, mirrored: how far such twins lie apart bounds what can be reached.
`additive_mape` is that of energy as targets learn it: a sum over the networks' kernels, which tables can look up. It is
tested on some of the cells only, as these networks have to be built.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.cells import QUANTITIES, Cells, network_of, read_cells
from benchmarks.figures import Detail, print_figure, tell
from predictors.holdout import accuracy
from predictors.kernel_features import Floats
from predictors.kernels import kernels
from predictors.learned_energy import MeasuredEnergy, fit_energy
from predictors.measured import fit_figure
from search_spaces.errors import NasError

CONFIDENCE = 0.9


def boosting(amounts: Sequence[Floats], figure: Floats, fresh: Sequence[Floats]) -> Floats:
    """What histogram gradient boosting of the logarithm, as scikit-learn sets it, says of `fresh`."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    model = HistGradientBoostingRegressor(random_state=0).fit(np.hstack(amounts), np.log(figure))
    return np.asarray(np.exp(model.predict(np.hstack(fresh))))


def scatter(cells: Cells, quantity: str) -> float | None:
    """Mean absolute relative error that remains when everything but the noise of one measurement is known."""
    ratios = [cells.measured[quantity][i] / cells.measured[quantity][j] for i, j in cells.twins]
    return float(np.abs(np.log(ratios)).mean() / np.sqrt(2)) if ratios else None


def learn(cells: Cells, quantity: str, *, fitted: int, seeds: int) -> None:
    """Fit on `fitted` random cells, test on all others, for each seed; print the figures."""
    figure, amounts = cells.measured[quantity], cells.amounts
    learned, boosted, covered = [], [], []
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(figure))
        known, fresh = order[:fitted], order[fitted:]
        model = fit_figure([group[known] for group in amounts], figure[known])
        guess = model.predict([group[fresh] for group in amounts])
        low, high = model.interval(1.0, confidence=CONFIDENCE) or (0.0, np.inf)
        covered.append(float(np.mean((figure[fresh] >= low * guess) & (figure[fresh] <= high * guess))))
        learned.append(accuracy(guess, figure[fresh]))
        plain = boosting([group[known] for group in amounts], figure[known], [group[fresh] for group in amounts])
        boosted.append(accuracy(plain, figure[fresh]))
        tell(f"{quantity} from {fitted}, seed {seed}: {learned[-1].mape:.4f}, boosting {boosted[-1].mape:.4f}")
    errors = [one.mape for one in learned]
    where: dict[str, Detail] = {
        "quantity": quantity,
        "trained_on": fitted,
        "tested_on": len(figure) - fitted,
        "seeds": seeds,
        "lowest": round(min(errors), 5),
        "highest": round(max(errors), 5),
        "scatter_of_twins": scatter(cells, quantity),
    }
    print_figure("mape", _mean(errors), "share", baseline={"boosting": _mean([b.mape for b in boosted])}, where=where)
    where = {"quantity": quantity, "trained_on": fitted, "seeds": seeds}
    within = {"boosting": _mean([one.within_10_percent for one in boosted])}
    print_figure(
        "within_10_percent", _mean([one.within_10_percent for one in learned]), "share", baseline=within, where=where
    )
    print_figure("coverage", _mean(covered), "share", where={**where, "confidence": CONFIDENCE})


def learn_additive(cells: Cells, *, fitted: int, tested: int, seeds: int) -> None:
    """Learn energy as a target does, from the kernels of `fitted` random cells, for each seed; print the figures."""
    energy_mj = cells.measured["energy_mj"]
    found, covered = [], []
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(energy_mj))[: fitted + tested]
        networks = {i: network_of(cells.edges[i].tolist()) for i in order.tolist()}
        known = {i: kernels(network) for i, network in networks.items() if network is not None}
        rows = [MeasuredEnergy(known[i], float(energy_mj[i])) for i in order[:fitted].tolist() if i in known]
        model = fit_energy(rows)
        fresh = [i for i in order[fitted:].tolist() if i in known]
        guess, truth = np.array([model.total_mj(known[i]) for i in fresh]), energy_mj[fresh]
        low, high = model.interval(1.0, confidence=CONFIDENCE) or (0.0, np.inf)
        covered.append(float(np.mean((truth >= low * guess) & (truth <= high * guess))))
        found.append(accuracy(guess, truth).mape)
        tell(f"energy_mj, a sum over kernels, from {fitted}, seed {seed}: {found[-1]:.4f}")
    where: dict[str, Detail] = {"quantity": "energy_mj", "trained_on": fitted, "tested_on": tested, "seeds": seeds}
    where |= {"confidence": CONFIDENCE, "coverage": round(_mean(covered), 4)}
    print_figure("additive_mape", _mean(found), "share", where=where)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="CSV of measured cells, .gz allowed")
    parser.add_argument("--fitted", type=int, nargs="+", default=[100, 900], help="how many cells to fit on")
    parser.add_argument("--tested", type=int, default=1000, help="how many cells the additive law is tested on")
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args(arguments)
    try:
        cells = read_cells(given.data)
        for quantity in QUANTITIES:
            for fitted in given.fitted:
                learn(cells, quantity, fitted=fitted, seeds=given.seeds)
        for fitted in given.fitted:
            learn_additive(cells, fitted=fitted, tested=given.tested, seeds=given.seeds)
    except NasError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
