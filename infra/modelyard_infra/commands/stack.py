"""Make, pause and remove whole platforms: `modelyard up`, `down`, `stop`, `start`, `pulumi-env`."""

import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modelyard.errors import AnswerIsNo, ModelyardError

if TYPE_CHECKING:
    from modelyard.descriptor import Descriptor
    from modelyard.status_report import Report
    from modelyard_infra.settings import StackSettings

Stack = Annotated[str, typer.Option("--stack", "-s", help="Which platform; any name makes one of its own")]


SETTLE_SECONDS = 60


def register(app: typer.Typer) -> None:
    """Plug the commands into `modelyard`."""
    for command in (up, down, stop, start):
        app.command()(command)
    app.command("pulumi-env")(pulumi_env)


def up(stack: Stack = "local") -> None:
    """Make the platform, or mend it, or bring it to changed settings."""
    from modelyard import descriptor
    from modelyard.processes import Supervisor
    from modelyard_infra.commands import engine, state
    from modelyard_infra.settings import StackSettings

    folder = _checked(stack)
    if known := _made_elsewhere(stack):
        raise ModelyardError(
            f"{stack!r} is a platform in {known}, which was made from another machine",
            fix=f"change it there; or `make down STACK={stack}` forgets it here, and you make one of your own",
        )
    engine.check_home()
    Supervisor(folder).daemon.check_place()
    engine.prepare_home()
    with state.alone(stack):
        if state.clear_stale_locks(stack):
            print(f"the last command on stack {stack!r} was killed; its lock is cleared", file=sys.stderr)
        file, env = state.ensure_stack_file(stack), engine.variables()
        settings = StackSettings.read(stack, state.configuration(file), file, state.project_name())
        if not state.has_state(stack) and engine.pulumi(["stack", "init", "--non-interactive"], stack=stack, env=env):
            raise AnswerIsNo(f"the stack {stack!r} could not be made", fix="what the engine said above tells why")
        state.keep_stack_file(stack)
        if engine.pulumi(["up", "--yes", "--skip-preview", "--non-interactive"], stack=stack, env=env):
            for line in _troubles(settings):
                print(f"in the cluster: {line}", file=sys.stderr)
            raise AnswerIsNo(
                f"the platform {stack!r} is not (completely) up",
                fix=f"what the engine said above tells why; its settings are in {file}; then repeat the command, "
                f"or `make down STACK={stack}` to remove what there is",
            )
    _show(_settled(descriptor.find(stack)))


def _troubles(settings: "StackSettings") -> list[str]:
    """What a cluster says of workloads that aren't ready; the engine only says that they aren't."""
    cluster = settings.parts.get("cluster")
    if cluster is None or cluster.kind.name != "existing":
        return []
    from modelyard.kube import remote
    from modelyard_infra.parts.cluster import existing

    assert isinstance(cluster.settings, existing.Settings)
    return remote.troubles(existing.place(cluster.settings, settings.stack))


def down(
    stack: Stack = "local",
    yes: Annotated[bool, typer.Option("--yes", help="Delete protected data without asking")] = False,
    force: Annotated[bool, typer.Option("--force", help="Go on where the state is damaged")] = False,
) -> None:
    """Remove the platform: every process, port and file of it, with all runs and models."""
    from modelyard import home
    from modelyard.processes.sweep import sweep
    from modelyard_infra.commands import confirm, state

    folder = _checked(stack)
    if not (folder.exists() or state.state_file(stack).exists()):
        print(f"there is no platform {stack!r} in {home.home()}", file=sys.stderr)
        return
    if known := _made_elsewhere(stack):
        shutil.rmtree(folder)
        print(f"forgot {stack!r}, which goes on in {known}: who made it can remove it", file=sys.stderr)
        return
    if not force:
        state.has_state(stack)
    confirm.deletion(stack, yes=yes)
    with state.alone(stack):
        state.clear_stale_locks(stack)
        if state.resources(stack) is not None:
            _destroy(stack, folder, force=force)
        for stray in sweep(folder):
            print(f"also stopped {stray}, which the stack's state did not know", file=sys.stderr)
        state.forget(stack)
    print(f"platform {stack!r} is gone", file=sys.stderr)


def _made_elsewhere(stack: str) -> str | None:
    """Where a platform is that this machine only knows of (`modelyard connect`); None: it was made here, or isn't."""
    from modelyard import descriptor
    from modelyard_infra.commands import state

    if state.state_file(stack).exists() or stack not in descriptor.platforms():
        return None
    try:
        cluster = descriptor.find(stack).cluster
    except ModelyardError:  # damaged: `down` has to go on and sweep what is here
        return None
    return f"the namespace {cluster.namespace} of context {cluster.context!r}" if cluster else None


def _destroy(stack: str, folder: Path, *, force: bool) -> None:
    """Destroy what the state knows; nothing is stopped before it is sure that the engine can."""
    from modelyard.processes import Supervisor
    from modelyard_infra.commands import engine, state

    state.ensure_stack_file(stack)
    env = engine.variables()
    code = engine.pulumi(["state", "unprotect", "--all", "--yes"], stack=stack, env=env)
    if not code:
        if folder.is_dir():
            Supervisor(folder).shut_down()
        code = engine.pulumi(["destroy", "--yes", "--skip-preview", "--non-interactive"], stack=stack, env=env)
    left = state.namespace(stack) if code else None
    if code and not force:
        without_it = "forgets the platform, and leaves the namespace {0} to you" if left else "removes it without it"
        raise AnswerIsNo(
            f"the stack {stack!r} could not be destroyed",
            fix=f"the engine said above why; `make down STACK={stack} FORCE=1` {without_it.format(left)}",
        )
    if left:
        print(
            f"what is left in the cluster is yours to remove: `kubectl delete namespace {left}` takes all of it",
            file=sys.stderr,
        )


def stop(stack: Stack = "local") -> None:
    """Pause the platform: every process stops, nothing is lost."""
    from modelyard import descriptor
    from modelyard.processes import Supervisor
    from modelyard_infra.commands import state

    folder = _on_this_machine(descriptor.find(stack)).folder
    with state.alone(stack):
        Supervisor(folder).stop_all()
    print(f"platform {stack!r} is stopped; `make start STACK={stack}` goes on with it", file=sys.stderr)


def start(stack: Stack = "local") -> None:
    """Go on with a platform that was stopped, or that a reboot ended."""
    from modelyard import descriptor, status_report
    from modelyard.processes import Supervisor
    from modelyard_infra.commands import state

    platform = _on_this_machine(descriptor.find(stack))
    with state.alone(stack):
        Supervisor(platform.folder).start_all()
    _show(status_report.look(platform))


def _settled(platform: "Descriptor") -> "Report":
    """How the platform is, once it is up; pods in a cluster may take turns for some time after that."""
    from modelyard import status_report

    deadline = time.monotonic() + (SETTLE_SECONDS if platform.cluster else 0)
    while not (report := status_report.look(platform)).is_up and time.monotonic() < deadline:
        time.sleep(1)
    return report


def _on_this_machine(platform: "Descriptor") -> "Descriptor":
    """The platform, unless others look after its processes."""
    if platform.cluster is not None:
        raise ModelyardError(
            f"the platform {platform.stack!r} runs in a cluster, which keeps it running",
            fix=f"`kubectl -n {platform.cluster.namespace} scale deployment NAME --replicas=0` pauses one workload",
        )
    return platform


def _show(report: "Report") -> None:
    from modelyard import status_report

    print(status_report.as_table(report))
    raise typer.Exit(0 if report.is_up else 3)


def pulumi_env() -> None:
    """Print the export lines that plain `pulumi` needs for local stacks: eval "$(modelyard pulumi-env)"."""
    from modelyard_infra.commands import engine

    engine.prepare_home()
    print("\n".join(f"export {name}={shlex.quote(value)}" for name, value in engine.variables().items()))


def _checked(stack: str) -> Path:
    """The folder of the stack's platform, if that can be its name."""
    import re

    from modelyard import home

    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", stack):
        raise ModelyardError(
            f"{stack!r} can't be the name of a stack",
            fix="use letters, digits, '-', '_' and '.', at most 100 of them, and begin with a letter or digit",
        )
    return home.platform_folder(stack)
