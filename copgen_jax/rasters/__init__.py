"""Rasters in and out: files, grids, units of measure and pictures."""
