"""Synthetic data: vectorised generators, deterministic for a seed, a cell and a day."""
