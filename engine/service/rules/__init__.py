"""Rules that change while the service runs: where they come from, and how they are put in force."""
