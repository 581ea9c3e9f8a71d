"""The Job that has the bucket in a store that a cluster's pods use."""

from pulumi import Output, Resource

from modelyard_infra.contracts import SecretReference
from modelyard_infra.workloads.objects import Objects, as_json
from modelyard_infra.workloads.pods import SECRETS, SETTINGS, Container, Pod, Resources

IMAGE = "tracking-server"  # has an S3 client
PART = "artifact-store"


def job(
    objects: Objects,
    *,
    endpoint_url: str | None,
    region: str,
    bucket: str,
    keys: dict[str, SecretReference],
    create: bool,
    after: list[Resource],
    check: bool = False,
    certificate_authority: SecretReference | None = None,
) -> Output[str]:
    """Make the bucket, or look that it is there; returns its name, once it is.

    Args:
        check: Look whether it can be used, too; tries once and leaves the pod, so that one can read why not.
        certificate_authority: Whom the store's certificate has to be by; None: a public authority.
    """
    request = {
        "endpoint_url": endpoint_url,
        "region": region,
        "bucket": bucket,
        "access_key_file": f"{SECRETS}/access-key",
        "secret_key_file": f"{SECRETS}/secret-key",
        "create": create,
        "check": check,
        "certificate_authority_file": f"{SECRETS}/ca.crt" if certificate_authority else None,
    }
    text = as_json(request)
    container = Container(
        name="bucket",
        image=IMAGE,
        resources=Resources(cpu="50m", memory="256Mi"),
        command=["/opt/modelyard/bin/python", "-m", "modelyard.provisioning.bucket", f"{SETTINGS}/request.json"],
    )
    pod = Pod(
        container,
        settings=objects.config_map(f"{PART}-bucket", {"request.json": text}),
        secrets=keys | ({"ca.crt": certificate_authority} if certificate_authority else {}),
        uses=(PART,),
        restart="Never" if check else "OnFailure",
    )
    done = objects.job(f"{PART}-bucket", pod, key=text, after=after, retries=0 if check else 3)
    return Output.all(bucket, done.urn).apply(lambda known: str(known[0]))
