"""Modelyard: carry models over a platform that `pulumi up` provisioned."""

__version__ = "0.1.0"
