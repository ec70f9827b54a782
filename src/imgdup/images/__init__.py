"""A file's bytes -> upright gray pixels and facts."""
