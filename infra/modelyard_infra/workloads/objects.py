"""The objects of one part in a cluster's namespace, each under a name that follows from the part's."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pulumi_kubernetes as kubernetes
from pulumi import Input, Output, Resource

from modelyard_infra.contracts import EdgeEndpoint, MetricsPods, SecretReference
from modelyard_infra.workloads.pods import Document, Pod
from modelyard_infra.workloads.ways import Ways, uses

BUSY_PERCENT = 80  # of the processor time that pods ask for


class Objects(Ways):
    """Makes the objects of one part."""

    def config_map(
        self,
        name: str,
        data: Mapping[str, Input[str]],
        *,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> Output[str]:
        """A ConfigMap; returns its name.

        Args:
            labels: Besides those of every object, for programs that look for it.
            annotations: For them, too.
        """
        metadata = self._metadata(name)
        metadata["labels"] = {**metadata["labels"], **(labels or {})}
        if annotations:
            metadata["annotations"] = dict(annotations)
        made = kubernetes.core.v1.ConfigMap(name, metadata=metadata, data=dict(data), opts=self._opts())
        name_when_made: Output[str] = made.metadata.name
        return name_when_made

    def secret(self, name: str, values: Mapping[str, Input[str]]) -> dict[str, SecretReference]:
        """A Secret; returns where each of its values is."""
        made = kubernetes.core.v1.Secret(
            name, metadata=self._metadata(name), string_data=dict(values), type="Opaque", opts=self._opts()
        )
        return {key: SecretReference(made.metadata.name, key=key) for key in values}

    def tls_secret(self, name: str, certificate: Input[str], key: Input[str]) -> Resource:
        """A Secret with a certificate and its key, as Gateways and Ingresses take them."""
        values = {"tls.crt": certificate, "tls.key": key}
        made: Resource = kubernetes.core.v1.Secret(
            name, metadata=self._metadata(name), string_data=values, type="kubernetes.io/tls", opts=self._opts()
        )
        return made

    def route(
        self, edge: EdgeEndpoint, part: str, service: str, port: int, *, name: str = "", match: Document | None = None
    ) -> str:
        """Have a Gateway lead what is asked of a part's host to a Service, as it is; returns the route's name.

        Args:
            name: The route's, if it isn't the Service's.
            match: Only what fits this `matches` entry of an HTTPRoute.
        """
        parent = {"name": edge.gateway, "namespace": edge.gateway_namespace, "sectionName": edge.listener}
        rule: Document = {"backendRefs": [{"name": service, "port": port}]}
        if match:
            rule["matches"] = [match]
        spec = {"parentRefs": [parent], "hostnames": [edge.hosts[part]], "rules": [rule]}
        self.custom("gateway.networking.k8s.io/v1", "HTTPRoute", name or service, spec)
        return name or service

    def service(self, name: str, ports: Mapping[str, tuple[int, int]], *, headless: bool = False) -> Resource:
        """A Service in front of the pods of the same name.

        Args:
            ports: By name: the Service's port and the pods'.
            headless: Names the pods themselves, as a StatefulSet needs it.
        """
        listed = [{"name": key, "port": outer, "targetPort": inner} for key, (outer, inner) in ports.items()]
        spec: Document = {"selector": self._selector(name), "ports": listed}
        if headless:
            spec |= {"clusterIP": "None", "publishNotReadyAddresses": False}
        return self._service(name, spec)

    def each(self, name: str, port: int) -> MetricsPods:
        """Name every pod of a name: a headless Service, which also has those that aren't ready."""
        each = f"{name}-pods"
        spec = {
            "selector": self._selector(name),
            "ports": [{"name": "metrics", "port": port, "targetPort": port}],
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
        }
        self._service(each, spec)
        return MetricsPods(name, port, self.host(each))

    def deployment(
        self, name: str, pod: Pod, *, replicas: tuple[int, int], rolled_by: Input[str], after: Sequence[Resource] = ()
    ) -> Resource:
        """A Deployment that never has fewer ready pods than it should.

        Args:
            replicas: How many at least and at most; in between, as their processors are busy.
            rolled_by: What its pods read when they start; where it changes, they are replaced.
            after: What has to be there before.
        """
        least, most = replicas
        self._disruption_budget(name, least)
        spec: Document = {
            "selector": {"matchLabels": self._selector(name)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": self._template(name, pod, rolled_by),
        }
        if most > least:
            self._scaled(name, least=least, most=most)
        else:
            spec["replicas"] = least
        made: Resource = kubernetes.apps.v1.Deployment(
            name, metadata=self._metadata_of_workload(name), spec=spec, opts=self._opts(depends_on=after)
        )
        return made

    def stateful_set(
        self, name: str, pod: Pod, *, volume: str, storage: str, rolled_by: Input[str], protect: bool
    ) -> Resource:
        """A StatefulSet of one pod with a volume, which stays when the StatefulSet is replaced.

        Args:
            volume: Its name, as the container mounts it.
            storage: Its size, as Kubernetes writes it: `10Gi`. A larger one later is for the storage class to allow.
        """
        claim = self._volume_claim(f"{name}-{volume}", storage, protect=protect)
        mounted: Document = {"name": volume, "persistentVolumeClaim": {"claimName": claim}}
        spec = {
            "replicas": 1,
            "podManagementPolicy": "Parallel",  # in order, a pod that never gets ready would keep out its successor
            "serviceName": name,
            "selector": {"matchLabels": self._selector(name)},
            "template": self._template(name, replace(pod, volumes=[*pod.volumes, mounted]), rolled_by),
        }
        made: Resource = kubernetes.apps.v1.StatefulSet(
            name, metadata=self._metadata_of_workload(name), spec=spec, opts=self._opts(protect=protect)
        )
        return made

    def _volume_claim(self, name: str, storage: str, *, protect: bool) -> Output[str]:
        """A volume of its own, not one that a StatefulSet makes: those go, or lose their size, with the StatefulSet."""
        metadata = self._metadata(name) | {"annotations": {"pulumi.com/skipAwait": "true"}}  # bound by its first pod
        spec: Document = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": storage}}}
        if self._cluster.storage_class:
            spec["storageClassName"] = self._cluster.storage_class
        # Another class in the settings is for volumes made from then on: this one would have to be deleted for it.
        opts = self._opts(protect=protect, ignore_changes=["spec.storageClassName"])
        made = kubernetes.core.v1.PersistentVolumeClaim(name, metadata=metadata, spec=spec, opts=opts)
        name_when_made: Output[str] = made.metadata.name
        return name_when_made

    def job(
        self,
        name: str,
        pod: Pod,
        *,
        key: str,
        after: Sequence[Resource] = (),
        retries: int = 3,
        seconds: int | None = 900,
    ) -> Resource:
        """A Job that must succeed before what depends on it is made; one that has failed is made anew by the next `up`.

        Args:
            key: What it does. Another key, or another pod, makes another Job: one that was made can't be changed, and
                replacing it under its name would replace all that comes after it.
            seconds: After which it is stopped; None: never.
        """
        shape = json.dumps(pod.spec(self._cluster, self._images, {}), sort_keys=True, default=lambda _: "known later")
        name = f"{name}-{hashlib.sha256(f'{key} {shape}'.encode()).hexdigest()[:8]}"
        spec: Document = {
            "backoffLimit": retries,
            "template": self._template(name, pod, key),
        }
        if seconds is not None:
            spec["activeDeadlineSeconds"] = max(seconds, self._cluster.ready_seconds)
        metadata = self._metadata_of_workload(name)
        metadata["annotations"] = metadata["annotations"] | {"pulumi.com/replaceUnready": "true"}
        made: Resource = kubernetes.batch.v1.Job(name, metadata=metadata, spec=spec, opts=self._opts(depends_on=after))
        return made

    def cron_job(self, name: str, pod: Pod, *, schedule: str) -> None:
        """A Job that is done again and again, one at a time.

        Args:
            schedule: When, in UTC: https://en.wikipedia.org/wiki/Cron
        """
        job = {
            "backoffLimit": 2,
            "activeDeadlineSeconds": 6 * 3600,
            "ttlSecondsAfterFinished": 7 * 86400,
            "template": self._template(name, pod, ""),
        }
        spec = {
            "schedule": schedule,
            "timeZone": "Etc/UTC",
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": 3600,
            "successfulJobsHistoryLimit": 1,
            "failedJobsHistoryLimit": 1,
            "jobTemplate": {"spec": job},
        }
        kubernetes.batch.v1.CronJob(name, metadata=self._metadata(name), spec=spec, opts=self._opts())

    def account(self, name: str, rules: Sequence[Document]) -> Output[str]:
        """A service account with a role in this namespace; returns its name, once it has its rights."""
        metadata = self._metadata(name)
        made = kubernetes.core.v1.ServiceAccount(
            name, metadata=metadata, automount_service_account_token=False, opts=self._opts()
        )
        role = kubernetes.rbac.v1.Role(name, metadata=metadata, rules=list(rules), opts=self._opts())
        bound = kubernetes.rbac.v1.RoleBinding(
            name,
            metadata=metadata,
            role_ref={"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role.metadata.name},
            subjects=[{"kind": "ServiceAccount", "name": name, "namespace": self._cluster.namespace}],
            opts=self._opts(),
        )
        return Output.all(made.metadata.name, bound.id).apply(lambda known: str(known[0]))

    def custom(self, version: str, kind: str, name: str, spec: Input[Document], **options: Any) -> Resource:
        """An object of a kind that the cluster doesn't have by itself."""
        made: Resource = kubernetes.apiextensions.CustomResource(
            name,
            api_version=version,
            kind=kind,
            metadata=self._metadata(name) | options.pop("metadata", {}),
            spec=spec,
            opts=self._opts(**options),
        )
        return made

    def _service(self, name: str, spec: Document) -> Resource:
        """A Service that nobody waits for: as many as Pulumi makes at a time would all wait for pods not begun yet."""
        metadata = self._metadata(name) | {"annotations": {"pulumi.com/skipAwait": "true"}}
        made: Resource = kubernetes.core.v1.Service(name, metadata=metadata, spec=spec, opts=self._opts())
        return made

    def _scaled(self, name: str, *, least: int, most: int) -> None:
        """Let the number of a Deployment's pods follow their load; it is nobody else's then."""
        target = {"type": "Utilization", "averageUtilization": BUSY_PERCENT}
        spec = {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": least,
            "maxReplicas": most,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
        }
        kubernetes.autoscaling.v2.HorizontalPodAutoscaler(
            name, metadata=self._metadata(name), spec=spec, opts=self._opts()
        )

    def _disruption_budget(self, name: str, replicas: int) -> None:
        """Let a node be emptied without taking the last pod, where there is more than one."""
        if replicas > 1:
            spec = {"maxUnavailable": 1, "selector": {"matchLabels": self._selector(name)}}
            kubernetes.policy.v1.PodDisruptionBudget(name, metadata=self._metadata(name), spec=spec, opts=self._opts())

    def _template(self, name: str, pod: Pod, rolled_by: Input[str]) -> Document:
        labels = self.labels(name) | {uses(part): "true" for part in pod.uses}
        checksum = Output.from_input(rolled_by).apply(lambda text: hashlib.sha256(text.encode()).hexdigest()[:16])
        return {
            "metadata": {"labels": labels, "annotations": {"modelyard.dev/settings": checksum}},
            "spec": pod.spec(self._cluster, self._images, self._selector(name)),
        }


def as_json(document: Any) -> str:
    """A settings file: the same document gives the same text."""
    return json.dumps(document, indent=1, sort_keys=True) + "\n"
