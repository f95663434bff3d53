"""Engines: find, start, watch and stop the servers and processes of the platform on this machine."""
