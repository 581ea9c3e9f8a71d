"""Model serving: what should be served (a database), the agent that makes it so, and the router in front.

`deployments` holds the desired state, `plan` decides, `agent` carries it out, `replicas` says how one
model-server process is started, `envoy` writes the router's configuration, `commands` is what people type.
"""
