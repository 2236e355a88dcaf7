"""Many runs: expansion, states, launchers, the table. Imports no torch; the jobs do."""
