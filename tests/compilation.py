"""Compiler options for programs that tests run once."""

QUICK_COMPILATION = {"xla_cpu_use_fusion_emitters": False, "xla_backend_optimization_level": 0}
"""Takes a fraction of the time to compile; what comes out is slower."""
