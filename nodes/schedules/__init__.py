"""The room of schedules: strength over the denoising, made from shapes and shown."""
