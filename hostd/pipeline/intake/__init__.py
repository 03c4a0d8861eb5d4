"""What takes in bytes that lie in no file of anybody's, and spools them: one module for each kind of source."""
