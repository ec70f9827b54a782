"""Exact search in arrays of hashes: matches and pairs. Usable without the rest of imgdup."""
