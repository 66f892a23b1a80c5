"""Data plane: one Flask service that owns one GPU and turns photos into models."""
