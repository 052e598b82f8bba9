"""What users give: read, checked, brought to native grids and known units."""
