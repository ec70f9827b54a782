"""Compiled loops over arrays: C without Python's headers, called by ctypes.

`library` loads the library for this processor; one module for each C source checks what comes in
and calls it. A call takes the work of many items, because it costs a microsecond or two itself,
and other threads run meanwhile.
"""
