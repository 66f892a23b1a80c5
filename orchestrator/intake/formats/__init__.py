"""The structure of image files, as far as it must be known before a decoder sees them. Pure."""
