"""Pure decisions and values: equal input gives an equal decision. Standard library only."""
