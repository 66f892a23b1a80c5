"""The decisions of the doctor. Equal facts give equal findings; nothing here asks anybody."""
