"""Exploring spaces of machines, networks and compression: what to try, what came out, and which is best."""
