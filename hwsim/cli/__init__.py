"""The command line: one file a command, on top of the library. The only home of click and rich."""
