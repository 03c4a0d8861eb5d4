"""The life of a plugin: a folder's files, checked and prepared, become generations in a catalog."""
