"""How edits of skips get into a MODEL; the only room that knows the host's patch protocol."""
