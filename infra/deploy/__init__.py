"""``make plan``, ``apply``, ``image``, ``deploy``, ``destroy``, ``doctor`` and ``prices``.

What is decided is pure (`guards`, `package`, `bill`); `steps` acts on it, through `Tools` alone.
"""
