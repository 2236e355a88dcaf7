"""A trained run as a file for programs that know nothing of Receptive."""
