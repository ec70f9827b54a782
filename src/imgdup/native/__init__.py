"""Compiled loops over arrays: C without Python's headers, called by ctypes.

`loader` loads the library for this processor. For each C source, one module checks the arguments
and calls the functions. A call processes many items, because a call itself takes a microsecond or
two. It releases the interpreter's lock, so that other threads run meanwhile.
"""
