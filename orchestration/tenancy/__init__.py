"""The life of a tenant: where it lives, how it is made, moved, kept and removed, and what it may use."""
