"""Measurements against peers and against our own goals: ``make bench``."""
