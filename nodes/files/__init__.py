"""Tuner files as users have them: loaded, described, converted, saved."""
