"""Deletes for good what was deleted a while ago: runs with their artifacts, and experiments that have no run left.

`mlflow gc` does that too, but knows nothing of the registry: it takes the files of a model that somebody serves along
with the run that made it. Here a run stays for as long as a registered version comes from it.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient

DAY_MILLISECONDS = 86_400_000


@dataclass(frozen=True)
class Collected:
    """What was deleted, and what was not.

    Attributes:
        runs: How many runs are gone.
        experiments: How many experiments are gone.
        registered: How many deleted runs stay, because registered versions come from them.
        failed: Runs whose artifacts couldn't be deleted, with the reason; they are tried again the next time.
    """

    runs: int
    experiments: int
    registered: int
    failed: dict[str, str]


def collect(store: Any, client: "MlflowClient", *, kept_days: float) -> Collected:
    """Delete what has been deleted for longer than that.

    Args:
        store: MLflow's SQLAlchemy store.
        client: Sees the registry, and deletes artifacts.
        kept_days: How long what was deleted can still be restored, in days.
    """
    from mlflow.exceptions import MlflowException

    registered = {version.run_id for version in _pages(client.search_model_versions)}
    old = list(store._get_deleted_runs(older_than=int(kept_days * DAY_MILLISECONDS)))
    failed, gone = {}, 0
    for run_id in old:
        if run_id in registered:
            continue
        try:
            _artifacts_of(store.get_run(run_id)).delete_artifacts()
        except (MlflowException, OSError) as error:
            failed[run_id] = str(error)
            continue
        store._hard_delete_run(run_id)
        gone += 1
    experiments = list(_empty_experiments(store, client, before=time.time() * 1000 - kept_days * DAY_MILLISECONDS))
    for experiment in experiments:
        store._hard_delete_experiment(experiment)
    return Collected(gone, len(experiments), len(registered.intersection(old)), failed)


def _empty_experiments(store: Any, client: "MlflowClient", *, before: float) -> Iterator[str]:
    """Deleted ones without a run or a model, deleted or not, that nobody touched since."""
    from mlflow.entities import ViewType

    deleted: Iterable[Any] = _pages(client.search_experiments, view_type=ViewType.DELETED_ONLY)
    for experiment in deleted:
        known = [experiment.experiment_id]
        if experiment.last_update_time is None or experiment.last_update_time >= before:
            continue
        if not store.search_runs(known, "", ViewType.ALL, max_results=1) and not store.search_logged_models(known):
            yield experiment.experiment_id


def _artifacts_of(run: Any) -> Any:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(run.info.artifact_uri)


def _pages(search: Any, **arguments: Any) -> Iterator[Any]:
    token = None
    while True:
        page = search(page_token=token, **arguments)
        yield from page
        token = page.token
        if not token:
            return
