"""Translates between our values and Azure's, and their errors into ours."""
