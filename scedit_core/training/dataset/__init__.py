"""Pictures, captions and hints, from a folder to batches."""
