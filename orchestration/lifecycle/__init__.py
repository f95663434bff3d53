"""The platform as a whole: start it, fill it, ask it, stop it. Talks to Dagster over HTTP, never imports it.

``pooled_storage`` alone is for Dagster's own processes: ``dagster.yaml`` names it.
"""
