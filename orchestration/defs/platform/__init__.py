"""Schema assets: one per domain and cell."""
