"""Slurm: the scheduler's commands, the sweeps' jobs in its queue, and what a job does when its time ends."""
