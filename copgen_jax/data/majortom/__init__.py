"""Real data as it is distributed: Major TOM cells in folders or parquet files, and aligned tiles."""
