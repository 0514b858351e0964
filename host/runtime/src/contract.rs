//! The contract as Rust types, made from `wit/`. Nothing outside this crate
//! sees them: [`crate::words`] turns them into the words of `reprieve-core`.

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "policy",
    imports: { default: trappable },
});

pub(crate) use exports::reprieve::policy::guard;
pub(crate) use reprieve::policy::{
    heartbeat, memory, probe, restarts, subject, surroundings, types,
};
