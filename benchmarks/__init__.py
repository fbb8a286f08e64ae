"""How fast we are, beside stock Faust and a hand-written loop; `python -m benchmarks`."""
