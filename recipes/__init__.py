"""How models that ship were trained, as programs."""
