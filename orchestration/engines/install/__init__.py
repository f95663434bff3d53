"""Set-up of a machine: the Python environment and the servers' programs, from nothing.

Runs under the system's Python before there is a virtual environment: nothing in this package, and nothing that it
imports, may need more than the standard library.
"""
