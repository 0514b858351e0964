//! What a file is, told from its first bytes and its sections' lengths: so that
//! whoever mixed up files gets told which.

use wasmparser::{Parser, Payload, TypeRef};

use crate::{Grants, Interface, LoadFailure, MAX_COMPONENT_BYTES};

const PACKAGE: &str = "reprieve:policy/";

const MAGIC: &[u8] = b"\0asm";
const COMPONENT: [u8; 4] = [0x0d, 0, 1, 0];
const CORE_MODULE: [u8; 4] = [1, 0, 0, 0];
const HEADER_BYTES: usize = 8;

/// Lets whole components pass. Does not look into sections: the compiler does.
pub(crate) fn check(bytes: &[u8]) -> Result<(), LoadFailure> {
    if bytes.is_empty() {
        return Err(LoadFailure::Empty);
    }
    if bytes.len() > MAX_COMPONENT_BYTES {
        return Err(LoadFailure::TooLarge { bytes: bytes.len(), limit: MAX_COMPONENT_BYTES });
    }
    let truncated = LoadFailure::Truncated { bytes: bytes.len() };
    if !bytes.starts_with(MAGIC) {
        if MAGIC.starts_with(bytes) {
            return Err(truncated);
        }
        let beginning = String::from_utf8_lossy(&bytes[..bytes.len().min(12)]).into_owned();
        return Err(LoadFailure::NotWasm { beginning });
    }
    match bytes.get(MAGIC.len()..HEADER_BYTES) {
        None => Err(truncated),
        Some(version) if version == CORE_MODULE => Err(LoadFailure::CoreModule),
        Some(version) if version == COMPONENT => match whole(&bytes[HEADER_BYTES..]) {
            true => Ok(()),
            false => Err(truncated),
        },
        Some(version) => Err(LoadFailure::OtherVersion { version: format!("{version:02x?}") }),
    }
}

/// The names of what a component imports, if it is granted every one of them.
/// Looks without compiling: what will be refused costs no compiler.
///
/// A core module with several memories is refused here, since the engine has to
/// take what wasmtime itself makes with several.
pub(crate) fn granted_imports(bytes: &[u8], grants: &Grants) -> Result<Vec<String>, LoadFailure> {
    let garbled =
        |error: wasmparser::BinaryReaderError| LoadFailure::Garbled { source: error.into() };
    let (mut names, mut depth, mut memories) = (Vec::new(), 0_u32, 0);
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(garbled)? {
            Payload::Version { .. } => {
                depth += 1;
                // No core module has another one inside.
                memories = 0;
            }
            Payload::MemorySection(own) => memories = own.count().saturating_add(memories),
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    let is_memory = matches!(import.map_err(garbled)?.ty, TypeRef::Memory(_));
                    memories = u32::from(is_memory).saturating_add(memories);
                }
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            // Those of nested components are met inside.
            Payload::ComponentImportSection(imports) if depth == 1 => {
                for import in imports {
                    let name = import.map_err(garbled)?.name.name.to_owned();
                    check_import(&name, grants)?;
                    names.push(name);
                }
            }
            _ => {}
        }
        if memories > 1 {
            let source = wasmtime::Error::msg("a core module has several memories");
            return Err(LoadFailure::Garbled { source });
        }
    }
    Ok(names)
}

fn check_import(name: &str, grants: &Grants) -> Result<(), LoadFailure> {
    let name = name.to_owned();
    if name.starts_with("wasi:") || name.starts_with("wasi_") {
        return Err(LoadFailure::WasiImport { name });
    }
    let interface = name.strip_prefix(PACKAGE).and_then(|rest| rest.split_once("@0.1."));
    match interface.and_then(|(interface, _patch)| Interface::named(interface)) {
        None => Err(LoadFailure::UnknownImport { name }),
        Some(interface) if grants.allow(interface) => Ok(()),
        Some(_) => Err(LoadFailure::NotGranted { name, granted: grants.to_string() }),
    }
}

/// Whether the last section ends where the bytes end.
fn whole(mut rest: &[u8]) -> bool {
    while let [_id, after_id @ ..] = rest {
        let Some((length, body)) = leb128(after_id) else { return false };
        let Some(after) = body.get(length..) else { return false };
        rest = after;
    }
    true
}

/// An unsigned 32-bit number in LEB128, and what follows it.
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(5) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, &bytes[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_told_from_its_first_bytes() {
        let header = b"\0asm\x0d\0\x01\0".to_vec();
        for (case, bytes, expected) in [
            ("empty", b"".to_vec(), "is empty"),
            ("text", b"(component)".to_vec(), "begins with \"(component)\""),
            ("an ELF", b"\x7fELF\x02\x01".to_vec(), "is not WebAssembly"),
            ("half a header", header[..6].to_vec(), "is cut off"),
            ("a core module", b"\0asm\x01\0\0\0".to_vec(), "core WebAssembly module"),
            ("another version", b"\0asm\x0e\0\x01\0".to_vec(), "version"),
            ("half a section", [&header[..], &[0, 9, 1]].concat(), "is cut off"),
            ("half a length", [&header[..], &[0, 0x80]].concat(), "is cut off"),
        ] {
            let text = check(&bytes).expect_err(case).to_string();
            assert!(text.contains(expected), "{case}: {text}");
        }
        assert!(check(&header).is_ok());
        assert!(check(&[&header[..], &[0, 2, 1, b'a']].concat()).is_ok());
        let large = check(&vec![0; MAX_COMPONENT_BYTES + 1]).expect_err("large").to_string();
        assert!(large.contains("33554433 bytes, 33554432 are allowed"), "{large}");
    }
}
