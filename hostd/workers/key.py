"""A key of a record, in JSON text that is not decoded. It imports what a worker may."""

import json
import re


class Key:
    """A key as JSON writes it, and as it may be written too: with escapes."""

    def __init__(self, name: str) -> None:
        self._text = json.dumps(name, ensure_ascii=False)
        self._plain = self._text.encode()
        codes = {character.encode("utf-16-be").hex()[:4] for character in name}
        slash = r"/|" if "/" in name else ""
        self._escaped = re.compile(rf"\\(?:{slash}u(?i:{'|'.join(sorted(codes))}))".encode())

    def may_be_in(self, text: bytes) -> bool:
        """Tell whether an object in some JSON may have this key; False is certain."""
        # One byte, then all of it: to look for one takes next to nothing, and most texts do not have it.
        if self._plain[1:2] in text and self._plain in text:
            return True
        return b"\\" in text and self._escaped.search(text) is not None

    def member(self, value: str) -> bytes:
        """Return the member of an object that this key and a text are."""
        return f"{self._text}:{json.dumps(value, ensure_ascii=False)}".encode()
