"""The target file of a run: a copy of the one named in its recipe, or this machine measured now."""

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nas.pipeline import Run

LOGGER = logging.getLogger("nas")


def freeze_target(run: "Run") -> None:
    """Write the run's target file. What is said of another machine is told to be no more than predictions."""
    from nas.runtimes.machine import differences
    from nas.runtimes.profile import profile_to_file
    from predictors.target import MEASURED_NOW, load_target

    section = run.recipe.target
    if section.name != MEASURED_NOW:
        target = load_target(section.name)
        target.save(run.target_file)
        if target.provenance == "measured" and (changed := differences(target.machine)):
            LOGGER.warning(
                "target %s was measured on another machine (%s): its figures are predictions, nothing is measured here",
                section.name,
                changed,
            )
        return
    with run.folder.stage("profile"):
        profile_to_file(
            run.target_file,
            space=run.space,
            runtime=section.runtime,
            threads=section.threads,
            batch=section.batch,
            minutes=section.minutes,
            precision=section.precision,
        )
