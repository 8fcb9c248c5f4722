"""The options of commands: their kinds of values, their groups, how a command line is read."""
