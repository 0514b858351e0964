//! Components built from text: a good policy by default, and whatever a case puts
//! into it.

use wit_component::{ComponentEncoder, DecodedWasm, StringEncoding};

const TEXT: &str = include_str!("guest.wat");
/// Imports everything and exports the guard: the world of the contract.
const WORLD: &[u8] = include_bytes!("../../policies/unruly.wasm");

/// Code for the places of `guest.wat`. Empty: nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guest {
    /// Initial size of its memory in pages, and perhaps the largest.
    pub(crate) memory: &'static str,
    /// Initial size of its table.
    pub(crate) table: &'static str,
    /// More fields of the module.
    pub(crate) fields: &'static str,
    pub(crate) describe: &'static str,
    pub(crate) open: &'static str,
    pub(crate) judge: &'static str,
    pub(crate) drop: &'static str,
    pub(crate) realloc: &'static str,
}

pub(crate) const GOOD: Guest = Guest {
    memory: "1",
    table: "1",
    fields: "",
    describe: "",
    open: "",
    judge: "",
    drop: "",
    realloc: "",
};

impl Guest {
    pub(crate) fn component(self) -> Vec<u8> {
        let mut text = TEXT.to_owned();
        for (place, code) in [
            ("{memory}", self.memory),
            ("{table}", self.table),
            ("{fields}", self.fields),
            ("{describe}", self.describe),
            ("{open}", self.open),
            ("{judge}", self.judge),
            ("{drop}", self.drop),
            ("{realloc}", self.realloc),
        ] {
            text = text.replace(place, code);
        }
        let mut module = wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"));
        let Ok(DecodedWasm::Component(resolve, world)) = wit_component::decode(WORLD) else {
            panic!("the contract cannot be read from a component")
        };
        let encoding = StringEncoding::UTF8;
        wit_component::embed_component_metadata(&mut module, &resolve, world, encoding)
            .expect("the contract fits into the module");
        let encoder = ComponentEncoder::default().validate(true).module(&module);
        encoder.and_then(|mut encoder| encoder.encode()).expect("a component")
    }
}

/// A component written as text.
pub(crate) fn text(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}
