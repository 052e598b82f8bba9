"""The opponent: backbone and autoencoder in PyTorch, for benchmarks only.

Written from the published description and proven equal to the original by its golden vectors (`tests/benchmarks`). The
parameters have the published names, so a published state dict loads as it is. Channel-first, as there.
"""
