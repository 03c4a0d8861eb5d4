"""hostd turns raw logs into records with parsers that are dropped into a folder and swapped while it runs."""

__version__ = "0.1.0"
