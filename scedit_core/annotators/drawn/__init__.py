"""Hints that are drawn by arithmetic alone."""
