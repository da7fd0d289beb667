"""Teachers: a MODEL, with controls of a CONDITIONING, whose pictures a training takes for its target."""
