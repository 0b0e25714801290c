"""The input of `thenwire demo`: real telemetry that may be shipped, and a synthetic scenario on top of it.

Nothing here is evidence of an attack. `real` reads the files of `data/` (origin and licence: data/NOTICE.md);
`scenario` makes harmless events whose `source` is "synthetic".
"""
