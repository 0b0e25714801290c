"""Event streams made for measuring: the same for the same seed, in order, one line of JSON an event.

Everything is synthetic: addresses are those reserved for documentation, names are of `example`.
"""
