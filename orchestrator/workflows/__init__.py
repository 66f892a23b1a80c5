"""Decides through the domain, acts through activities by name. Deterministic: no clock, no IO."""
