"""The HTTP service: who may ask, what a request may hold, how it is answered."""
