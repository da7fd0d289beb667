"""A training as a file: job.toml says what is trained, and its folder holds what came of it."""

from .parts import Job
from .reading import read_job
from .writing import job_text

__all__ = ["Job", "job_text", "read_job"]
