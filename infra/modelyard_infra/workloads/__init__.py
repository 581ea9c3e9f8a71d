"""What the kinds that run in a Kubernetes cluster are made of: hardened pods, and the objects around them.

All pods pass Pod Security's level "restricted": no root, no privileges, a root file system that can't be written, and
no service account's token. Who may talk to whom is said by labels: `modelyard.dev/part` is on the pods of a part, and
`modelyard.dev/uses-<part>` on those that may reach it.
"""
