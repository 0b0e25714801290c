"""Hand-written code for each work: what an expert would write for just these rules, with msgspec and dicts.

They give the same counts as the engine and say what its generality costs. They write no alert, keep nothing
for late events, and know no other rule.
"""
