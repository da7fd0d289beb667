"""Hint images and masks."""
