"""Serving in a Kubernetes cluster: a controller that keeps a Deployment per model version, and routes to them."""
