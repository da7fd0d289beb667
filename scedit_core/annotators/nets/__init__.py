"""Hints that a net finds, and the weights of these nets."""
