"""The room of evaluation: held-out pictures painted with a tuner, without it and with hints of others."""
