"""Probes and an index -> matches and pairs of rows."""
