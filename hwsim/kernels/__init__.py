"""Compiled loops over plain arrays. They know numpy and numba and nothing of hwsim but its array columns.

Importing a kernel imports numba (0.3 s), so callers import kernels inside the function that needs them.
A kernel's helpers stand in its own file: numba's cache does not see a change in another one.
"""
