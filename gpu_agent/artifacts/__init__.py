"""Where images come from and models go to, and what a killed agent left behind."""
