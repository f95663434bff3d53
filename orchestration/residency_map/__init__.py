"""The residency map: where each category of data may live and where it does, with counts and the proof's time."""
