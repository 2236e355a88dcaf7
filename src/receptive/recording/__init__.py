"""What passes through the layers of a network: which they are, what each gives, statistics of it in bounded memory."""
