"""The same works on other engines that install from PyPI: each in a process of its own, its counts checked.

``peer.py`` says what a peer is, ``table.py`` lists them, ``child.py`` runs one, ``compare.py`` all in turn.
Nothing here is imported by a peer's file but ``peer.py`` and the rules of the works as plain figures.
"""
