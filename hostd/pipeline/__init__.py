"""The life of a byte: source, framing, routing, a worker of the live generation, commit."""
