"""The room of analysis: what a MODEL's skips, and the edits of them, do to its picture."""
