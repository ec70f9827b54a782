"""An index folder on the disk, opened: generations, columns, paths."""
