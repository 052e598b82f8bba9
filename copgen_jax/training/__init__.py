"""Training of backbone and autoencoders."""
