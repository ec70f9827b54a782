"""Plain data in a pickle: what is written is read, and nothing else is written or read.

The oracle of what is written is ``pickle`` itself: any unpickler must get the same value.
The attacks are in test_faults_index.py.
"""

import pickle
import pickletools

import pytest
from hypothesis import given, strategies as st

from imgdup.index import layout
from imgdup.index.layout import BUFFER, dumps, loads

TEXTS = st.text(st.characters(), max_size=300)  # lone surrogates too, as os.fsdecode gives them
INTEGERS = st.integers(layout.MIN_INTEGER, layout.MAX_INTEGER)
VALUES = st.recursive(
    TEXTS | INTEGERS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)
HEADS = st.dictionaries(TEXTS, VALUES, max_size=4)


@given(HEADS)
def test_what_is_written_is_read_here_and_by_any_unpickler(head):
    data = dumps(head)

    assert loads(data, []) == head
    assert pickle.loads(data) == head


def test_the_bytes_do_not_depend_on_which_equal_texts_are_one_object():
    text = "".join(["so", "me"])
    one = {"a": text, "b": text}
    two = {"a": "".join(["so", "me"]), "b": "".join(["so", "me"])}

    assert dumps(one) == dumps(two)


def test_every_admitted_opcode_is_one_that_is_written():
    head = {
        "one": {"only": 1},
        "two": [BUFFER],
        "three": [256, 70_000, -1, 1 << 40],
        "four": "x" * 256,
    }

    used = {opcode.name for opcode, _, _ in pickletools.genops(dumps(head))}

    assert used == layout.OPCODES


def test_buffers_are_restored_in_their_places():
    data = dumps({"a": BUFFER, "b": [BUFFER]})

    assert loads(data, [bytearray(b"1"), bytearray(b"2")]) == {"a": b"1", "b": [b"2"]}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": {"b": 1.5}}, r"head\['a'\]\['b'\] is of type float"),
        ({"a": [1, None]}, r"head\['a'\]\[1\] is of type NoneType"),
        ({"a": True}, r"head\['a'\] is of type bool"),
        ({"a": b"bytes"}, r"head\['a'\] is of type bytes"),
        ({"a": (1, 2)}, r"head\['a'\] is of type tuple"),
        ({1: "a"}, r"head has the key 1, expected a text"),
    ],
)
def test_what_is_not_plain_is_refused_and_its_place_named(value, message):
    with pytest.raises(TypeError, match=message):
        dumps(value)


def test_what_holds_itself_is_refused():
    value = {}
    value["self"] = value

    with pytest.raises(TypeError, match="nested deeper than 16 levels"):
        dumps(value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": 1 << 64}, "more than 64 bits"),
        ({"a": -(1 << 63) - 1}, "more than 64 bits"),
        ({"a": "x" * (1 << 20)}, "at most 1,048,576 are allowed"),
        ({"a": [0] * 20_000}, "more than 20,000 opcodes"),
    ],
)
def test_what_is_too_large_is_refused_when_written(value, message):
    with pytest.raises(ValueError, match=f"^too much data for the head of a file: .*{message}"):
        dumps(value)


def nested(depth):
    """A list in a list, `depth` of them."""
    return [nested(depth - 1)] if depth else []


def test_sixteen_levels_fit_and_seventeen_do_not():
    assert loads(dumps({"a": nested(15)}), []) == {"a": nested(15)}

    with pytest.raises(TypeError, match="nested deeper than 16 levels"):
        dumps({"a": nested(16)})


@pytest.mark.parametrize("value", [[], "text", 7])
def test_what_is_no_dict_is_refused_when_read(value):
    data = pickletools.optimize(pickle.dumps(value, 5))

    with pytest.raises(ValueError, match=f"{type(value).__name__} instead of dict"):
        loads(data, [])


def test_ten_thousand_values_fit():
    head = {f"root {n}": n for n in range(9_000)}

    assert loads(dumps(head), []) == head


def test_the_unpickler_itself_refuses_every_name():
    refuse = layout._DataUnpickler.find_class

    with pytest.raises(ValueError, match=r"asks for builtins\.eval"):
        refuse(None, "builtins", "eval")
