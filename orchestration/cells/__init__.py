"""Cells: which regions there are, how to reach their servers, and in whose name."""
