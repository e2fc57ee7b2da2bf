"""Networks trained from scratch on masks, and their scores on the test part."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.figures import Detail, print_figure
from nas.modules import execute
from nas.supernet.alone import train_alone
from nas.supernet.calibrate import fitted
from nas.supernet.settings import TrainSettings
from nas.tasks.segmentation import SegmentationTask, dice_scores, fitted_logits
from nas.tasks.surface import hd95
from search_spaces.network import Network


@dataclass(frozen=True)
class Scores:
    """Of one trained network on the test part: mean Dice over classes, 95 % Hausdorff distance where defined."""

    dice: float
    hd95: float | None


def trained(network: Network, task: SegmentationTask, settings: TrainSettings, *, seed: int) -> Scores:
    """Train from scratch and read the test part once."""
    weights = train_alone(network, task, settings, seed=seed)
    dice: list[float] = []
    distances: list[float] = []
    for images, target in task.test_batches(settings.batch_size):
        outputs = execute(network, weights, fitted(images, network))
        answer = fitted_logits(next(iter(outputs.values())).detach(), target).argmax(1)
        dice += dice_scores(answer, target, classes=task.classes).mean(1).tolist()
        for one, truth in zip(answer.numpy(), target.numpy(), strict=True):
            found = (hd95(one == label, truth == label) for label in range(1, task.classes))
            distances += [distance for distance in found if distance is not None]
    return Scores(statistics.fmean(dice), statistics.fmean(distances) if distances else None)


def print_scores(scores: Mapping[str, Sequence[Scores]], name: str, *, where: Mapping[str, Detail], unit: str) -> None:
    """Print `dice` and `hd95` of the networks called `name`, means over seeds, beside those of the others."""
    dice = {key: [score.dice for score in of] for key, of in scores.items()}
    ranges = {f"{key}_{end.__name__}": end(values) for key, values in dice.items() for end in (min, max)}
    mean = {key: statistics.fmean(values) for key, values in dice.items()}
    about = {**where, "seeds": len(scores[name])}
    others = [key for key in scores if key != name]
    print_figure("dice", mean[name], "", baseline={key: mean[key] for key in others}, where={**about, **ranges})
    distances = {key: [s.hd95 for s in of if s.hd95 is not None] for key, of in scores.items()}
    if all(distances.values()):
        far = {key: statistics.fmean(values) for key, values in distances.items()}
        print_figure("hd95", far[name], unit, baseline={key: far[key] for key in others}, where=about)
