"""Example lines to a format without code: what `hostd new NAME --from FILE` proposes."""
