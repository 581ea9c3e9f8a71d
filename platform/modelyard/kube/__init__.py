"""Kubernetes' API as the platform's own programs use it. Needs the extra `agent`."""
