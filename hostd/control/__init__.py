"""What the operator asks a running daemon: status and rescan, as HTTP on a Unix socket."""
