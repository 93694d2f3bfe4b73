"""The way into a running gateway for commands of its own machine: a Unix socket, line by line (`protocol`)."""
