"""Column lineage: what of a person's attributes reaches a relation that leaves its cell, and by which path."""
