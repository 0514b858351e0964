//! What is refused when it is loaded.

use std::time::Duration;

use reprieve_runtime::{Interface, Limits, Terms};

use crate::{
    guest::{GOOD, Guest, text},
    world::{ENGINE, neighbour_is_well, whole},
};

const FOREVER: &str = "(loop $again (br $again))";

#[tokio::test]
async fn what_shows_when_it_is_loaded_is_refused_then() {
    // Time enough to take all that it wants on a busy machine.
    let patient = Limits { guest_deadline: Duration::from_millis(200), ..Limits::default() };
    let ten_megabytes = "(call $text (i32.const 272) (i32.const 0) (i32.const 10485760))";
    for (case, guest, expected) in [
        (
            "a loop in start",
            Guest { fields: "(func $s (loop $a (br $a))) (start $s)", ..GOOD },
            "did not answer within",
        ),
        ("a trap in start", Guest { fields: "(func $s unreachable) (start $s)", ..GOOD }, "start"),
        ("a loop in describe", Guest { describe: FOREVER, ..GOOD }, "did not answer within"),
        ("a loop in open", Guest { open: FOREVER, ..GOOD }, "did not answer within"),
        (
            "a loop where room is made for its settings",
            Guest { realloc: FOREVER, ..GOOD },
            "did not answer within",
        ),
        (
            "a loop after describe",
            Guest {
                fields: r#"(func (export "cabi_post_reprieve:policy/guard@0.1.0#describe")
                    (param i32) (loop $a (br $a)))"#,
                ..GOOD
            },
            "did not answer within",
        ),
        ("a memory of 2 GiB", Guest { memory: "32768", ..GOOD }, "memory"),
        ("a memory just beyond the limit", Guest { memory: "257", ..GOOD }, "memory"),
        ("a table of a hundred million", Guest { table: "100000000", ..GOOD }, "table"),
        ("a table just beyond the limit", Guest { table: "10001", ..GOOD }, "table"),
        (
            "a description of 10 MB",
            Guest { memory: "200", describe: ten_megabytes, ..GOOD },
            "describe itself",
        ),
        (
            "a description that is not in its memory",
            Guest {
                describe: "(call $text (i32.const 256) (i32.const -8) (i32.const 64))",
                ..GOOD
            },
            "describe itself",
        ),
        (
            "a name that is no text",
            Guest { describe: "(i32.store8 (i32.const 1024) (i32.const 255))", ..GOOD },
            "describe itself",
        ),
        (
            "a billion reasons",
            Guest {
                describe: "(call $text (i32.const 288) (i32.const 320) (i32.const 1000000000))",
                ..GOOD
            },
            "describe itself",
        ),
        (
            "no reasons at all",
            Guest {
                describe: "(call $text (i32.const 288) (i32.const 320) (i32.const 0))",
                ..GOOD
            },
            "declares 0 reasons",
        ),
        (
            "a hundred pages taken while it describes itself, and a hundred more",
            Guest {
                describe: "(loop $a (br_if $a (i32.ne (memory.grow (i32.const 100)) (i32.const -1)))) unreachable",
                ..GOOD
            },
            "bytes of memory",
        ),
    ] {
        let text = match ENGINE.load(&guest.component(), patient.clone()) {
            Ok(policy) => panic!("{case} was taken: {policy:?}"),
            Err(refused) => whole(&refused),
        };
        assert!(text.contains(expected), "{case}: {text}");
        neighbour_is_well(case).await;
    }
}

#[tokio::test]
async fn what_no_policy_needs_is_refused_before_it_is_compiled() {
    let many = format!("(component {})", "(component (core module))".repeat(2_000));
    for (case, component, expected) in [
        (
            "a clock of WASI",
            r#"(component (import "wasi:clocks/monotonic-clock@0.2.0" (instance)))"#,
            "which is WASI",
        ),
        (
            "a network",
            r#"(component (import "acme:net/http" (instance)))"#,
            "which this host does not offer",
        ),
        (
            "an interface that the contract does not have",
            r#"(component (import "reprieve:policy/clock@0.1.0" (instance)))"#,
            "which this host does not offer",
        ),
        (
            "a bare function",
            r#"(component (import "now" (func (result u64))))"#,
            "which this host does not offer",
        ),
        (
            "two memories",
            "(component (core module (memory 1) (memory 1)))",
            "is damaged, or uses WebAssembly features that this host does not run",
        ),
        (
            "a memory of its own and one that it imports",
            r#"(component (core module (import "a" "m" (memory 1)) (memory 1)))"#,
            "is damaged, or uses WebAssembly features that this host does not run",
        ),
        (
            "threads",
            "(component (core module (memory 1 2 shared)))",
            "is damaged, or uses WebAssembly features that this host does not run",
        ),
        (
            "64-bit memory",
            "(component (core module (memory i64 1)))",
            "is damaged, or uses WebAssembly features that this host does not run",
        ),
        ("two thousand components", &many, ""),
    ] {
        let text = match ENGINE.load(&text(component), Limits::default()) {
            Ok(policy) => panic!("{case} was taken: {policy:?}"),
            Err(refused) => whole(&refused),
        };
        assert!(text.contains(expected), "{case}: {text}");
        neighbour_is_well(case).await;
    }
}

#[tokio::test]
async fn components_in_components_have_a_bottom() {
    const LEVELS: usize = 5_000;
    let mut nested = text("(component)");
    for _ in 0..LEVELS {
        let component_section = [&[4][..], &leb128(nested.len()), &nested].concat();
        nested = [b"\0asm\x0d\0\x01\0", &component_section[..]].concat();
    }
    let refused = ENGINE.load(&nested, Limits::default());
    assert!(refused.is_err(), "{refused:?}");
    neighbour_is_well("components in components").await;
}

fn leb128(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).expect("seven bits");
        value >>= 7;
        bytes.push(if value == 0 { low } else { low | 0x80 });
        if value == 0 {
            return bytes;
        }
    }
}

#[test]
fn a_policy_imports_no_more_than_it_is_granted() {
    let but = |interface: Interface| {
        let all = Interface::ALL.iter().copied();
        Terms { grants: all.filter(|other| *other != interface).collect(), ..Terms::default() }
    };
    let component = GOOD.component();
    // What it does not import it need not be granted.
    assert!(ENGINE.load(&component, but(Interface::Surroundings)).is_ok());
    let refused = ENGINE.load(&component, but(Interface::Probe)).expect_err("not granted");
    let text = whole(&refused);
    assert!(
        text.contains("imports reprieve:policy/probe@0.1.0, which it is not granted"),
        "{text}"
    );
    assert!(text.contains("granted types, subject, heartbeat, restarts"), "{text}");
}

#[tokio::test]
async fn versions_of_the_contract_are_told_apart() {
    let now = GOOD.component();
    for (case, version, taken) in [
        ("today's", "0.1.0", true),
        ("a later patch of it", "0.1.9", true),
        ("the next minor version", "0.2.0", false),
        ("an older minor version", "0.0.9", false),
        ("a later major version", "9.1.0", false),
    ] {
        let other = replaced(&now, b"@0.1.0", format!("@{version}").as_bytes());
        let loaded = ENGINE.load(&other, Limits::default());
        assert_eq!(loaded.is_ok(), taken, "{case}: {loaded:?}");
        if let Err(refused) = loaded {
            let text = whole(&refused);
            assert!(text.contains("reprieve:policy"), "{case}: {text}");
        }
        neighbour_is_well(case).await;
    }
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    for at in 0..bytes.len() - from.len() {
        if bytes[at..].starts_with(from) {
            bytes[at..at + to.len()].copy_from_slice(to);
        }
    }
    bytes
}
