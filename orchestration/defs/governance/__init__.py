"""Isolation and residency as Dagster sees them: the gate of each cell, its blocking checks, jobs and sensors."""
