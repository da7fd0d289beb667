"""Whether a tuner works: figures of its pictures, a record of them, and one sentence of verdict."""
