"""Jobs on this agent: what is remembered, what is decided, who may ask, and when it ends."""
