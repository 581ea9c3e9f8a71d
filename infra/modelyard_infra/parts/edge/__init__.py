"""How a platform in a cluster is reached from outside: host names, TLS, the Gateway that routes attach to."""
