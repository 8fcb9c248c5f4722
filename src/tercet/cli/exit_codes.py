"""What the program's exit code says. The same for every command."""

OK = 0
FAILED = 1  # an input failed; the others were heard
USAGE = 2  # the command line cannot be meant
INTERRUPTED = 130  # Ctrl-C: 128 + SIGINT, as shells have it
