"""How the command-line tools that Modelyard needs get onto a machine.

Standard library only: it runs before anything is installed.
"""
