"""Benchmarks: each compares with a baseline that it measures itself, in the same run."""
