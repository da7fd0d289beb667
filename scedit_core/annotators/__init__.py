"""Photos to hint images, the way the published controllers saw them. One condition per file."""
