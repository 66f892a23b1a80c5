"""The use cases that routes, activities and timers share."""
