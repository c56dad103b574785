"""The command line: its words, its slips, and what a command is refused for before it starts."""
