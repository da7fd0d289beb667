"""Tuner files: bytes on disk, key layouts, sizes, and the verbs that use them."""
