"""Which kubeconfig leads to a cluster: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/"""

import os
from pathlib import Path

from modelyard.descriptor import Cluster
from modelyard.errors import ModelyardError

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")  # of the pod that this runs in, if it does


def default() -> Path:
    """The first file that kubectl would read; it would merge the others into it."""
    return Path(os.environ.get("KUBECONFIG", "").partition(os.pathsep)[0] or "~/.kube/config").expanduser()


def place(kubeconfig: Path | None, context: str | None, namespace: str) -> Cluster:
    """A namespace as this machine reaches it.

    Args:
        kubeconfig: None: where kubectl looks; where nothing is there either, the account of the pod that this runs in.
        context: None: the file's current one, from then on by its name.
        namespace: Which.

    Raises:
        ModelyardError: there is no such file.
    """
    from lightkube import KubeConfig
    from lightkube.core.exceptions import ConfigError

    file = (kubeconfig or default()).absolute()
    if kubeconfig is None and not file.exists() and (ACCOUNT / "token").is_file():
        return Cluster(namespace=namespace)
    try:
        return Cluster(
            kubeconfig=file, context=context or KubeConfig.from_file(file).current_context, namespace=namespace
        )
    except (ConfigError, OSError) as error:
        raise ModelyardError(f"{file} is no kubeconfig: {error}", fix="name one: --kubeconfig") from None
