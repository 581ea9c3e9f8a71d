"""The platform's own users, whose passwords are the platform's: another administrator may have changed them."""

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from modelyard.tracking.environment import ADMIN_PASSWORD_VARIABLE, OWN_USERS_VARIABLE, READER_PASSWORD_FILE_VARIABLE

log = logging.getLogger(__name__)


class User(Protocol):
    """One of MLflow's users."""

    @property
    def is_admin(self) -> bool:
        """Whether it may do everything."""


class Store(Protocol):
    """MLflow's users, as `mlflow.server.auth.store` has them."""

    def authenticate_user(self, username: str, password: str) -> bool:
        """Whether the password is that user's."""

    def has_user(self, username: str) -> bool:
        """Whether there is such a user."""

    def get_user(self, username: str) -> User:
        """That user."""

    def create_user(self, username: str, password: str, is_admin: bool = False) -> object:
        """Have one more."""

    def update_user(self, username: str, password: str | None = None, is_admin: bool | None = None) -> object:
        """Give a user another password, or other rights."""


def have(store: Store, name: str, password: str, *, admin: bool) -> None:
    """Have a user with this password and these rights, whatever others have made of it.

    Several servers may do so at once.

    Args:
        store: MLflow's users.
        name: The user's.
        password: The platform's for it.
        admin: Whether it may do everything; if not, it may do what everybody may.
    """
    if not store.has_user(name):
        try:
            store.create_user(name, password, is_admin=admin)
        except Exception:
            if not store.has_user(name):  # no other server has made it in the meantime
                raise
    if not store.authenticate_user(name, password):
        log.warning("the platform's own user %s had another password: it gets the platform's again", name)
        store.update_user(name, password=password)
    if store.get_user(name).is_admin != admin:
        log.warning("the platform's own user %s had other rights: it gets its own again", name)
        store.update_user(name, is_admin=admin)


def mend(store: Store, environment: Mapping[str, str] = os.environ) -> None:
    """Have the platform's own users as they should be, as far as that can be done now: a server starts without it.

    Args:
        store: MLflow's users.
        environment: Says who they are, the administrator first, and what their passwords are.
    """
    admin, *readers = json.loads(environment[OWN_USERS_VARIABLE])
    try:
        have(store, admin, environment[ADMIN_PASSWORD_VARIABLE], admin=True)
        for reader in readers:
            password = Path(environment[READER_PASSWORD_FILE_VARIABLE]).read_text().strip()
            have(store, reader, password, admin=False)
    except Exception as error:
        log.warning("the platform's own users can't be looked at now: %s", error)
