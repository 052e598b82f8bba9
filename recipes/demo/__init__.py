"""The demo model from nothing: see `recipes.demo.stages` and README.md here."""
