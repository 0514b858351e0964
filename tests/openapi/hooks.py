"""What Schemathesis uploads as a component: nothing, anything, and what begins well."""

import schemathesis
from hypothesis import strategies as st

MAGIC = b"\0asm"
COMPONENT = MAGIC + b"\x0d\0\x01\0"
MODULE = MAGIC + b"\x01\0\0\0"

schemathesis.openapi.media_type(
    "application/wasm",
    st.builds(
        lambda beginning, rest: beginning + rest,
        st.sampled_from([b"", MAGIC, MODULE, COMPONENT]),
        st.binary(max_size=256),
    ),
)
