"""What the service knows, stored so that a restart goes on from it.

``model`` says what is stored and what a store must do, ``sqlite`` and ``bucket`` are the two stores,
``places`` chooses one, ``barrier`` makes checkpoints, ``resume`` goes on from one.
"""
