"""What a strategy is, how a file becomes one, and whether it can be trusted not to see the future."""
