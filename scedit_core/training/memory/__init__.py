"""What a training remembers for backward, and how much that is."""
