"""Folders of images -> a new generation of the index."""
