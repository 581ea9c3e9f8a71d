"""MLflow's registry and artifacts over its REST API: importing mlflow itself costs seconds and 200 MB."""

import re
from pathlib import Path
from typing import Self

from modelyard.errors import AnswerIsNo, ModelyardError
from modelyard.registry import artifacts
from modelyard.registry.rest import API, TrackingApi
from modelyard.registry.versions import NEWEST, ModelFile, ModelVersion, Reference, choices, parse_reference

DEFAULT_ALIAS = "champion"


class MlflowRegistry:
    """A client of one tracking server.

    Args:
        url: Its address.
        username: For its basic auth, if it has that,
        password: and the password.
        timeout: Seconds without an answer until the server counts as unreachable.
    """

    def __init__(
        self, url: str, *, username: str | None = None, password: str | None = None, timeout: float = 15
    ) -> None:
        self.api = TrackingApi(url, username=username, password=password, timeout=timeout)
        self.url = url

    @classmethod
    def connect(cls, url: str, username: str | None = None, password_file: Path | None = None) -> Self:
        """A client whose password is in a file."""
        try:
            password = password_file.read_text().strip() if password_file else None
        except OSError as error:
            raise ModelyardError(
                f"the tracking server's password can't be read: {error}", fix="run `make up` again"
            ) from error
        return cls(url, username=username, password=password)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.api.close()

    # ---- which version

    def resolve(self, text: str) -> ModelVersion:
        """The exact version that a reference means now.

        A bare NAME means its alias `champion` if it has that, otherwise its newest version.

        Args:
            text: As in `parse_reference`.

        Raises:
            ModelyardError: it isn't a reference.
            AnswerIsNo: there is no such model, alias or version; says which there are.
            Unreachable: the tracking server doesn't answer.
        """
        reference = parse_reference(text)
        found = self.api.find(f"{API}/registered-models/get", {"name": reference.name})
        if found is None:
            raise self._unknown_model(reference.name)
        aliases = {one["alias"]: int(one["version"]) for one in found["registered_model"].get("aliases", [])}
        version = self._version(reference, aliases)
        where = {"name": reference.name, "version": str(version)}
        if version not in aliases.values() and self.api.find(f"{API}/model-versions/get", where) is None:
            raise self._unknown_version(reference, version)
        source = self.api.get(f"{API}/model-versions/get-download-uri", where)["artifact_uri"]
        return ModelVersion(reference.name, version, self._artifact_folder(source))

    def _version(self, reference: Reference, aliases: dict[str, int]) -> int:
        if reference.version is not None:
            return reference.version
        if reference.alias is not None and reference.alias != NEWEST:
            if reference.alias not in aliases:
                raise self._unknown_alias(reference, aliases)
            return aliases[reference.alias]
        if reference.alias is None and DEFAULT_ALIAS in aliases:
            return aliases[DEFAULT_ALIAS]
        newest = self._versions(reference.name, limit=1)
        if not newest:
            raise AnswerIsNo(
                f"model {reference.name!r} is registered but has no version", fix="register one, then try again"
            )
        return newest[0]

    def _versions(self, name: str, *, limit: int = 20) -> list[int]:
        """The newest versions, newest first."""
        mark = '"' if "'" in name else "'"
        query = {
            "filter": f"name={mark}{name}{mark}",
            "order_by": "version_number DESC",
            "max_results": str(limit),
        }
        return [
            int(one["version"]) for one in self.api.get(f"{API}/model-versions/search", query).get("model_versions", [])
        ]

    def _unknown_model(self, name: str) -> AnswerIsNo:
        answer = self.api.get(f"{API}/registered-models/search", {"max_results": "1000"})
        names = [str(one["name"]) for one in answer.get("registered_models", [])]
        if not names:
            return AnswerIsNo(
                f"there is no model {name!r}: nothing is registered at {self.url}", fix="register one first"
            )
        return AnswerIsNo(f"there is no model {name!r} at {self.url}", fix=choices("registered models", names, name))

    def _unknown_alias(self, reference: Reference, aliases: dict[str, int]) -> AnswerIsNo:
        what = f"model {reference.name!r} has no alias {reference.alias!r}"
        if aliases:
            known = [f"{alias} (version {version})" for alias, version in aliases.items()]
            return AnswerIsNo(what, fix=choices("its aliases", known, reference.alias or ""))
        versions = [str(version) for version in self._versions(reference.name)]
        return AnswerIsNo(what, fix=f"it has no aliases; {choices('its versions', versions, '')}")

    def _unknown_version(self, reference: Reference, version: int) -> AnswerIsNo:
        versions = [str(one) for one in self._versions(reference.name)]
        return AnswerIsNo(
            f"model {reference.name!r} has no version {version}", fix=choices("its versions", versions, str(version))
        )

    # ---- its files

    def files(self, model: ModelVersion) -> tuple[ModelFile, ...]:
        """What a version consists of: see `artifacts.files`."""
        return artifacts.files(self.api, model)

    def download(self, model: ModelVersion, folder: Path) -> tuple[ModelFile, ...]:
        """Get all files of a version into a folder: see `artifacts.download`."""
        return artifacts.download(self.api, model, folder)

    def _artifact_folder(self, uri: str) -> str:
        """Where a version's files are, after following references to runs and logged models."""
        if match := re.fullmatch(r"models:/(m-[0-9a-f]{32})", uri):
            info = self.api.get(f"{API}/logged-models/{match[1]}", {})["model"]["info"]
            return str(info["artifact_uri"])
        if match := re.fullmatch(r"runs:/([^/]+)/(.+)", uri):
            run = self.api.get(f"{API}/runs/get", {"run_id": match[1]})["run"]
            return f"{run['info']['artifact_uri']}/{match[2]}"
        return uri
