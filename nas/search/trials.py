"""How trials get into a storage: through Optuna's calls, or in bulk into its tables, which is many times faster.

Optuna's own way takes several queries for each parameter and attribute of a trial. In bulk a trial is one
transaction with one statement per table.
"""

import datetime
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from search_spaces.builder import Value

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage, RDBStorage
    from optuna.trial import FrozenTrial
    from sqlalchemy import Connection, Table

KNOWN_SCHEMAS = ("v3.2.0.a",)
TABLES = ("studies", "trials", "trial_params", "trial_user_attributes", "trial_system_attributes", "trial_values")
AS_ARRAYS = {
    "trial_params": (
        "INSERT INTO trial_params (trial_id, param_name, param_value, distribution_json) SELECT :trial_id, * FROM "
        "unnest(CAST(:param_name AS text[]), CAST(:param_value AS float8[]), CAST(:distribution_json AS text[]))"
    ),
    **{
        name: (
            f"INSERT INTO {name} (trial_id, key, value_json) SELECT :trial_id, * FROM "
            "unnest(CAST(:key AS text[]), CAST(:value_json AS text[])) "
            "ON CONFLICT (trial_id, key) DO UPDATE SET value_json = excluded.value_json"
        )
        for name in ("trial_user_attributes", "trial_system_attributes")
    },
}
"""How PostgreSQL takes all rows of a trial at once: a column an array."""


class TrialWriter(Protocol):
    """Writes the trials of one study."""

    def add(self, trial: "FrozenTrial") -> int | None:
        """Add `trial` and return its id; `None`, with nothing written, when another program has added one unseen."""

    def end(self, trial_id: int, ended: "FrozenTrial") -> bool:
        """End a running trial with the state, values, constraints and further attributes of `ended`.

        False, with nothing written, when it is no longer running.
        """

    def saw(self, trial_ids: Iterable[int]) -> None:
        """Say which trials of the study are known."""


def writer_for(storage: "BaseStorage", study: "Study", parameters: Mapping[str, str]) -> TrialWriter:
    """The fastest writer that `storage` allows. parameters: the distribution of each parameter, as Optuna's JSON."""
    from optuna.storages import RDBStorage

    if isinstance(storage, RDBStorage) and storage.get_current_version() in KNOWN_SCHEMAS:
        return BulkWriter(storage, study._study_id, parameters)
    return PlainWriter(study)


class PlainWriter:
    """Writes through Optuna's calls."""

    def __init__(self, study: "Study") -> None:
        self._study = study

    def add(self, trial: "FrozenTrial") -> int | None:
        """Add `trial` and return its id."""
        return self._study._storage.create_new_trial(self._study._study_id, template_trial=trial)

    def end(self, trial_id: int, ended: "FrozenTrial") -> bool:
        """End a running trial."""
        from optuna.exceptions import UpdateFinishedTrialError

        storage = self._study._storage
        try:
            for name, value in ended.user_attrs.items():
                storage.set_trial_user_attr(trial_id, name, value)
            for name, value in ended.system_attrs.items():
                storage.set_trial_system_attr(trial_id, name, value)
            storage.set_trial_state_values(trial_id, ended.state, ended.values)
        except UpdateFinishedTrialError:
            return False
        return True

    def saw(self, trial_ids: Iterable[int]) -> None:
        """Nothing depends on it here."""


class BulkWriter:
    """Writes into the tables of Optuna's relational storage; trials of several drivers never cross."""

    def __init__(self, storage: "RDBStorage", study_id: int, parameters: Mapping[str, str]) -> None:
        from sqlalchemy import MetaData, select, text
        from sqlalchemy.dialects import postgresql, sqlite

        self._engine, self._study, self._parameters = storage.engine, study_id, parameters
        metadata = MetaData()
        metadata.reflect(self._engine, only=TABLES)
        self._tables: Mapping[str, Table] = metadata.tables
        self._last = 0
        studies, trials = self._tables["studies"], self._tables["trials"]
        self._hold = select(studies.c.study_id).where(studies.c.study_id == study_id).with_for_update()
        newest = select(trials.c.trial_id, trials.c.number).where(trials.c.study_id == study_id)
        self._newest = newest.order_by(trials.c.trial_id.desc()).limit(1)
        insert: Any = postgresql.insert if self._engine.name == "postgresql" else sqlite.insert
        self._inserts: dict[str, Any] = {name: insert(self._tables[name]) for name in ("trial_params", "trial_values")}
        for name in ("trial_user_attributes", "trial_system_attributes"):
            statement = insert(self._tables[name])
            self._inserts[name] = statement.on_conflict_do_update(
                index_elements=["trial_id", "key"], set_={"value_json": statement.excluded.value_json}
            )
        if self._engine.name == "postgresql":
            self._inserts |= {name: text(statement) for name, statement in AS_ARRAYS.items()}

    def add(self, trial: "FrozenTrial") -> int | None:
        """Add `trial` and return its id; `None` when another driver has added one unseen."""
        row: dict[str, Any] = {
            "study_id": self._study,
            "state": trial.state.name,
            "datetime_start": _utc(trial.datetime_start),
            "datetime_complete": _utc(trial.datetime_complete),
        }
        with self._engine.begin() as connection:
            connection.execute(self._hold)
            last = connection.execute(self._newest).one_or_none()
            if last is not None and last.trial_id > self._last:
                return None
            row["number"] = 0 if last is None else last.number + 1
            key = connection.execute(self._tables["trials"].insert(), row).inserted_primary_key
            assert key is not None
            trial_id = int(key[0])
            self._insert(connection, "trial_params", self._parameter_rows(trial_id, trial))
            self._write_outcome(connection, trial_id, trial)
        self._last = trial_id
        return trial_id

    def end(self, trial_id: int, ended: "FrozenTrial") -> bool:
        """End a running trial; False when another driver did."""
        trials = self._tables["trials"]
        statement = trials.update().where(trials.c.trial_id == trial_id, trials.c.state == "RUNNING")
        changes = {"state": ended.state.name, "datetime_complete": _utc(ended.datetime_complete)}
        with self._engine.begin() as connection:
            if connection.execute(statement.values(changes)).rowcount != 1:
                return False
            self._write_outcome(connection, trial_id, ended)
        return True

    def saw(self, trial_ids: Iterable[int]) -> None:
        """Remember the newest trial."""
        self._last = max(trial_ids, default=self._last)

    def _parameter_rows(self, trial_id: int, trial: "FrozenTrial") -> list[dict[str, Value]]:
        return [
            {
                "trial_id": trial_id,
                "param_name": name,
                "param_value": float(trial.distributions[name].to_internal_repr(value)),
                "distribution_json": self._parameters[name],
            }
            for name, value in trial.params.items()
        ]

    def _write_outcome(self, connection: "Connection", trial_id: int, trial: "FrozenTrial") -> None:
        """Attributes, constraints and values of `trial`."""
        self._set(connection, "trial_user_attributes", trial_id, trial.user_attrs)
        self._set(connection, "trial_system_attributes", trial_id, trial.system_attrs)
        if trial.values is not None:
            rows = [
                {"trial_id": trial_id, "objective": index, "value": value, "value_type": "FINITE"}
                for index, value in enumerate(trial.values)
            ]
            self._insert(connection, "trial_values", rows)

    def _set(self, connection: "Connection", table: str, trial_id: int, attributes: Mapping[str, Any]) -> None:
        texts = {key: json.dumps(value) for key, value in attributes.items()}
        if texts:
            rows = [{"trial_id": trial_id, "key": key, "value_json": text} for key, text in texts.items()]
            self._insert(connection, table, rows)

    def _insert(self, connection: "Connection", table: str, rows: list[dict[str, Any]]) -> None:
        """Insert `rows`, which are of one trial."""
        given: Any = rows
        if table in AS_ARRAYS and self._engine.name == "postgresql":
            given = {key: [row[key] for row in rows] for key in rows[0]} | {"trial_id": rows[0]["trial_id"]}
        connection.execute(self._inserts[table], given)


def _utc(moment: datetime.datetime | None) -> datetime.datetime | None:
    """Local time as Optuna's tables hold it: in UTC, without saying so."""
    return None if moment is None else moment.astimezone(datetime.UTC).replace(tzinfo=None)
