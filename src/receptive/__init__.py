"""Receptive: a laboratory for convolutional networks."""
