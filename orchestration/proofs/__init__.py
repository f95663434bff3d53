"""Proofs of isolation and residency: catalog rules and live attacks, their verdicts, and the gate that reads them."""
