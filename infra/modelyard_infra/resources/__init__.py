"""Pulumi resources of our own.

Their providers are pickled into the state by module and class name, so both are frozen: a renamed provider
leaves resources that no later version can destroy.
"""
