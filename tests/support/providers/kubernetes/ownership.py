"""Server-side apply among several owners: whose an object is, whose fields may be taken over."""

import re

from tests.support.providers.kubernetes.api import ApiClient, Object, Place
from tests.support.providers.kubernetes.errors import Cause, ProviderError, Refused

# The official provider takes over what people did by hand with kubectl, and what its own client-side apply did.
_TAKEN_OVER = re.compile(r'conflict with "(kubectl[^"]*|before-first-apply)"')
_TAKEN_OVER_UPDATES = re.compile(r'conflict with "(pulumi-kubernetes|pulumi-resource-kubernetes)[^"]*".* using ')


def apply(
    api: ApiClient, place: Place, wanted: Object, manager: str, *, dry_run: bool = False, force: bool = False
) -> Object:
    """Apply an object; fields that somebody set by hand are taken over, those of other managers aren't.

    Raises:
        ProviderError: another manager owns a field.
        Refused: the API server doesn't take it.
    """
    try:
        return api.apply(place, wanted, manager=manager, dry_run=dry_run, force=force)
    except Refused as error:
        conflicts = [cause for cause in error.causes if cause.reason == "FieldManagerConflict"]
        if error.code != 409 or not conflicts:
            raise
        theirs = [cause for cause in conflicts if not _may_be_taken(cause)]
        if theirs:
            raise _conflict(place, theirs) from error
    return api.apply(place, wanted, manager=manager, dry_run=dry_run, force=True)


def _may_be_taken(cause: Cause) -> bool:
    return bool(_TAKEN_OVER.match(cause.message) or _TAKEN_OVER_UPDATES.match(cause.message))


def _conflict(place: Place, causes: list[Cause]) -> ProviderError:
    details = "; ".join(f"{cause.field}: {cause.message}" for cause in causes)
    return ProviderError(
        f"others manage fields of {place.kind} {place.id}: {details}. Leave these fields to them (ignore_changes, or "
        'out of the program), or take them over with the annotation pulumi.com/patchForce: "true"'
    )
