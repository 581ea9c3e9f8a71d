"""A Pulumi provider for Kubernetes, for tests: the official one's rules on a real API server.

``python -m tests.support.providers.kubernetes`` serves Pulumi's provider protocol and prints the port it listens on;
``bin/pulumi-resource-kubernetes`` is that as the engine looks for it on PATH.

It can do resources that the API server stores. What the official provider does besides (Helm releases, Kustomize, YAML
files, rendering to a folder, `…Patch` and `…List` resources, client-side apply) it refuses by name.
"""
