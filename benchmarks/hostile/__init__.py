"""Costly input from strangers, and what the app still does for everybody else meanwhile."""
