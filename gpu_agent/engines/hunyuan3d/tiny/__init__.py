"""Weights of the published layout and key names, a few hundred kilobytes each, random but closed.

For tests, the demo and the warm-up of a new image: the real loaders and pipelines run on them,
and each picture, seed and number of steps gives another closed blob. They know nothing of objects.
"""
