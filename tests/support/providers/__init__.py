"""Pulumi providers that stand in for those that are not to be had where the tests run."""
