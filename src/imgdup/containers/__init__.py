"""Files that hold pictures: zip, tar, Parquet and Arrow; their directories and their members."""
