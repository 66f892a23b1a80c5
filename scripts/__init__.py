"""Set-up of a checkout: standard library only, run by whatever ``python3`` the machine has.

These modules must parse on Python 3.7, so that a Python too old for Coldforge can say so.
"""
