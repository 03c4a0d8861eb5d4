"""What one generation made is parsed again by the current one, and replaced in the sinks: all of it, or nothing."""
