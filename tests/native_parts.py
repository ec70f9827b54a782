"""Functions in C that only others in C call, to test each of them by itself."""

import ctypes

import numpy as np

from imgdup.native import address_of, declared

ROWS, ROOM = 7, 8  # of scratch memory, and numbers of a row beyond the windows
P, N, D = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double  # address, number, real number


def functions():
    return declared(
        {
            "imgdup_luma_excess": (None, P, N, N, P, D, P, P),
            "imgdup_raise_chroma": (None, P, P, P, N, N, P, D, P, P),
            "imgdup_ranked": (ctypes.c_float, P, N, N, P),
            "imgdup_step_sums": (None, P, P, N, N, N, P, P, P, P),
            "imgdup_stiff_curve": (None, P, P, P, P),
            "imgdup_ascending": (None, P, P, N, P, P, P, P),
        }
    )


def quantile(values, share):
    """The smallest value that is not below this share of all."""
    keys = np.empty(values.size, np.uint32)
    rank = int(share * (values.size - 1))
    return functions().imgdup_ranked(address_of(values), values.size, rank, address_of(keys))


def step_sums(taken, goal):
    """The products of the parts of a step, shape (8, 8), and of each part with the goal."""
    height, width = goal.shape
    stride = -(-width // 16) * 16
    rows, changes = np.zeros((8, stride), np.float32), np.empty(goal.shape, np.uint8)
    products, wanted = np.empty((8, 8)), np.empty(8)
    functions().imgdup_step_sums(
        *(address_of(taken), address_of(goal), height, width, stride),
        *map(address_of, (rows, changes, products, wanted)),
    )
    return products, wanted


def scratch_for(planes):
    return np.empty((ROWS, planes[0].size + ROOM), np.int64)


def luma_excess(moments, rules, clean):
    """The root of the squares of the windows of one size that exceed what copying explains."""
    moments = np.ascontiguousarray(moments)
    excess, scratch = np.empty(moments.shape[1:], np.float32), scratch_for(moments)
    functions().imgdup_luma_excess(
        *(address_of(moments), *moments.shape[1:], ctypes.byref(rules), clean),
        *(address_of(scratch), address_of(excess)),
    )
    return excess


def raise_chroma(excess, moments, rules, clean):
    """Raise the squared excess to squares of the chroma of the windows of one size."""
    moments, scratch = [np.ascontiguousarray(each) for each in moments], scratch_for(moments[0])
    functions().imgdup_raise_chroma(
        *map(address_of, moments),
        *(*excess.shape, ctypes.byref(rules), clean, address_of(scratch), address_of(excess)),
    )


def stiff_curve(counts, means, rules):
    """A polynomial of the root of the level, fitted to the mean of each level."""
    curve = np.empty(256)
    functions().imgdup_stiff_curve(
        address_of(counts), address_of(means), ctypes.byref(rules), address_of(curve)
    )
    return curve


def ascending(values, weights):
    """The nearest ascending values: pool adjacent violators."""
    n = values.size
    scratch, ends, nearest = np.empty((2, n)), np.empty(n, np.int64), np.empty(n)
    functions().imgdup_ascending(
        *(address_of(values), address_of(weights), n),
        *(address_of(each) for each in (*scratch, ends, nearest)),
    )
    return nearest
