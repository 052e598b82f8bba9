"""Pictures of rasters: quicklooks and contact sheets."""
