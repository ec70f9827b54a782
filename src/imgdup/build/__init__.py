"""Build an index of folders of images, or update it: write its next generation."""
