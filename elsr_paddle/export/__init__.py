"""Write trained networks in the formats of other runtimes, and run what was written there."""
