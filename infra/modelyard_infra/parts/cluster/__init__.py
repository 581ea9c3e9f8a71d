"""The Kubernetes cluster that the other parts run in."""
