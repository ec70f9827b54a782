"""Decode the bytes of a file to upright gray pixels and facts."""
