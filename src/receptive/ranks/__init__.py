"""The processes of a run on several devices: their places, how they meet, agree and part, what each computes."""
