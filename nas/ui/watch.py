"""What the live page shows of a run, made anew only when something was written."""

import hashlib
import json
import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.live import Doing, doing, so_far
from nas.pipeline import Run
from nas.report.data import ReportData
from nas.salvage import DAMAGE, data_without_recipe
from nas.search.reading import study_stamp
from nas.search.storage import FILE_NAMES
from nas.searching import EVALUATIONS
from search_spaces.errors import NasError

LOGGER = logging.getLogger("nas")
STATE_FILES = ("recipe.toml", "target.json", "stages.json", "fidelity.json", "margins.json")
SEARCH_FILES = ("front.json", EVALUATIONS)
ELSEWHERE = FILE_NAMES["postgresql"]
DATABASE_SECONDS = 5.0
"""How often a database is asked: no file tells when something was written to it."""


@dataclass(frozen=True)
class Seen:
    """What was made of one state of the run: a name of that state, and the data of the page."""

    version: str
    data: ReportData


class Watch:
    """Looks at the run in `folder`, through its search called `search`; several threads may ask at once.

    A run whose search has ended is also shown with what takes long to work out, as soon as that is done.
    """

    def __init__(self, folder: Path, *, search: str | None = None) -> None:
        self.folder, self._search = folder, search
        self._lock = threading.Lock()
        self._run: Run | None = None
        self._seen: Seen | None = None
        self._whole: tuple[str, ReportData | None] | None = None

    def doing(self) -> Doing:
        """What the run does now."""
        return doing(self.folder)

    def version(self) -> str:
        """A name of the run's present state: another one when something was written that the page shows."""
        whole = self._whole
        found = self._stamp()
        return f"{found}-whole" if whole is not None and whole[0] == found and whole[1] is not None else found

    def seen(self) -> Seen:
        """The present state and its data; of a state that was seen before, the same object."""
        with self._lock:
            version = self.version()
            if self._seen is None or self._seen.version != version:
                self._seen = Seen(version, self._data(version))
            return self._seen

    def architecture(self, identity: str) -> dict[str, Any]:
        """Operators and diagram of an evaluated architecture; NasError where there is none of that id."""
        from nas.report.details import architecture_model
        from nas.reporting import detail

        device = self.seen().data.device
        with self._lock:
            run = self._opened()
            chosen = next((e for e in so_far(run).evaluations if e.id == identity), None)
            if chosen is None:
                raise NasError(f"no architecture {identity!r} was evaluated in {self.folder}")
            return architecture_model(detail(run, chosen.architecture), device)

    def knows(self, identity: str) -> bool:
        """Whether an evaluated architecture has that id."""
        return any(point.id == identity for point in self.seen().data.evaluations)

    def _opened(self) -> Run:
        from nas.cli_runs import opened

        if self._run is None:
            self._run = opened(str(self.folder), self._search)
        return self._run

    def _data(self, version: str) -> ReportData:
        from nas.reporting import report_data

        whole = self._whole
        if whole is not None and whole[1] is not None and version == f"{whole[0]}-whole":
            return whole[1]
        try:
            run = self._opened()
            data = report_data(run, whole=False)
            if so_far(run).is_final:
                self._begin_whole(version)
        except DAMAGE as error:
            why = error if isinstance(error, NasError) else NasError(f"{type(error).__name__}: {error}")
            return data_without_recipe(self.folder, why)
        return data

    def _begin_whole(self, stamp: str) -> None:
        """Work out beside the server what takes long, once for each state."""
        if self._whole is not None and self._whole[0] == stamp:
            return
        self._whole = (stamp, None)
        threading.Thread(target=self._make_whole, args=(stamp,), name="whole report", daemon=True).start()

    def _make_whole(self, stamp: str) -> None:
        from nas.cli_runs import opened
        from nas.reporting import report_data

        try:
            data = report_data(opened(str(self.folder), self._search))
        except DAMAGE as error:
            LOGGER.warning("the page stays without the parts that take long: %s", error)
            return
        if self._whole is not None and self._whole[0] == stamp:
            self._whole = (stamp, data)

    def _stamp(self) -> str:
        """A digest of times and sizes of the files that the page is made of."""
        files = [self.folder / name for name in STATE_FILES]
        parts: list[Any] = []
        for search in sorted(self.folder.glob("searches/*")):
            files += [search / name for name in SEARCH_FILES]
            parts.append(study_stamp(search))
            if (search / ELSEWHERE).exists() and not (search / EVALUATIONS).exists():
                parts.append(int(time.monotonic() / DATABASE_SECONDS))
        files += [*self.folder.glob("supernet/*.safetensors"), self.folder / "exports", *self.folder.glob("targets/*")]
        for path in files:
            try:
                stat = path.stat()
            except OSError:
                continue
            parts.append((str(path), stat.st_mtime_ns, stat.st_size))
        return hashlib.blake2b(json.dumps(parts).encode(), digest_size=12).hexdigest()
