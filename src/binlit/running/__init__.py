"""One run: from a checked config to its objects, and where it starts, goes on, and ends."""
