"""Capstone: a multi-tenant, multi-region commerce data platform, orchestrated by Dagster."""
