"""What is drawn, written: COG, Zarr, statistics, STAC, one folder per place."""
