"""What is measured: thenwire beside bare decoding and hand-written code, on the same bytes in the same run.

Run ``python -m benchmarks --short`` in a checkout; docs/reference/benchmarks.md explains works and figures.
"""
