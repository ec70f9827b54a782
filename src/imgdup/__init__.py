"""Find near-duplicate images: exactly, fast, and without losing one."""

__version__ = "0.1.0"
