"""Funnels and retention: what may be asked, and asking it of a file or of the platform's own events."""
