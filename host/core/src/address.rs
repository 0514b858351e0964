//! Where a workspace may live: which URLs may be registered, and which IP
//! addresses a name may turn into when it is connected to.
//!
//! A workspace says itself where it listens. Without this rule it could make the
//! proxy fetch the cloud's metadata service, or anything else on the proxy's own
//! network. An address that the workspace's backend gave out is allowed wherever
//! it lies.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// Why a workspace may not live there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressRefused {
    #[error("the scheme {scheme:?} is not allowed; use http or https")]
    Scheme { scheme: String },
    #[error("user names and passwords are not allowed in an address")]
    Credentials,
    #[error("a query or fragment is not allowed in an address")]
    Tail,
    #[error("the address names no host")]
    NoHost,
    #[error(
        "{host} is a {kind} address, and no backend of this workspace owns it; register a public address"
    )]
    Inside { host: String, kind: &'static str },
}

/// Checks an address that a workspace wants to register. `owned` says whether
/// the workspace's backend gave this very address to it.
///
/// A name passes here without being resolved: what it resolves to is checked
/// with [`check_ip`] at each connect, because it may change in between.
pub fn check(address: &Url, owned: impl Fn(&Url) -> bool) -> Result<(), AddressRefused> {
    if !matches!(address.scheme(), "http" | "https") {
        return Err(AddressRefused::Scheme { scheme: address.scheme().to_owned() });
    }
    if !address.username().is_empty() || address.password().is_some() {
        return Err(AddressRefused::Credentials);
    }
    if address.query().is_some() || address.fragment().is_some() {
        return Err(AddressRefused::Tail);
    }
    let host = address.host().ok_or(AddressRefused::NoHost)?;
    if owned(address) {
        return Ok(());
    }
    match host {
        Host::Ipv4(ip) => check_ip(ip.into()),
        Host::Ipv6(ip) => check_ip(ip.into()),
        Host::Domain(name) => check_name(name),
    }
}

/// Checks an IP address that is about to be connected to for a workspace whose
/// backend does not own it.
pub fn check_ip(ip: IpAddr) -> Result<(), AddressRefused> {
    let inside = match ip {
        IpAddr::V4(ip) => inside_v4(ip),
        IpAddr::V6(ip) => inside_v6(ip),
    };
    inside.map_or(Ok(()), |kind| Err(AddressRefused::Inside { host: ip.to_string(), kind }))
}

/// Names that lead inside whatever a resolver says.
fn check_name(name: &str) -> Result<(), AddressRefused> {
    let bare = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let kind = if bare == "localhost" || bare.ends_with(".localhost") {
        "loopback"
    } else if METADATA_NAMES.contains(&bare.as_str()) {
        "metadata"
    } else {
        return Ok(());
    };
    Err(AddressRefused::Inside { host: name.to_owned(), kind })
}

/// Source: the clouds' manuals (Google, Google, EC2, EC2).
const METADATA_NAMES: [&str; 4] =
    ["metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal"];

/// Metadata services that do not lie in a range refused anyway, or whose name
/// tells the caller more than the range's: EC2 and most others, Alibaba, Azure's
/// wire server.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
];

/// EC2's metadata service over IPv6.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// Source of the ranges: IANA's special-purpose address registries (RFC 6890 and
/// its updates).
fn inside_v4(ip: Ipv4Addr) -> Option<&'static str> {
    let [a, b, c, _] = ip.octets();
    if METADATA_V4.contains(&ip) {
        return Some("metadata");
    }
    match (a, b, c) {
        (0, ..) => Some("unspecified"),
        (127, ..) => Some("loopback"),
        (10, ..) | (192, 168, _) => Some("private"),
        (172, 16..=31, _) => Some("private"),
        (169, 254, _) => Some("link-local"),
        (100, 64..=127, _) => Some("carrier-grade NAT"),
        (192, 0, 0) | (192, 0, 2) | (198, 18..=19, _) | (198, 51, 100) | (203, 0, 113) => {
            Some("special-purpose")
        }
        (224..=239, ..) => Some("multicast"),
        (240..=255, ..) => Some("reserved"),
        _ => None,
    }
}

fn inside_v6(ip: Ipv6Addr) -> Option<&'static str> {
    if ip == METADATA_V6 {
        return Some("metadata");
    }
    if let Some(v4) = embedded_v4(ip) {
        return inside_v4(v4);
    }
    let first = ip.segments()[0];
    match first {
        _ if ip.is_unspecified() => Some("unspecified"),
        _ if ip.is_loopback() => Some("loopback"),
        0xfc00..=0xfdff => Some("unique local"),
        0xfe80..=0xfebf => Some("link-local"),
        0xff00..=0xffff => Some("multicast"),
        // Teredo, documentation, benchmarking and the like.
        0x2001 if ip.segments()[1] < 0x200 || ip.segments()[1] == 0xdb8 => Some("special-purpose"),
        0x3fff if ip.segments()[1] < 0x1000 => Some("special-purpose"),
        // Of the rest only global unicast is in use.
        0x2000..=0x3fff => None,
        _ => Some("special-purpose"),
    }
}

/// The IPv4 address that a mapped, NAT64 or 6to4 address stands for.
fn embedded_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = ip.segments();
    let from = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match s {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(from(high, low))
        }
        [0x2002, high, low, ..] => Some(from(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(address: &str) -> &'static str {
        match check(&address.parse().unwrap(), |_| false) {
            Ok(()) => "allowed",
            Err(AddressRefused::Inside { kind, .. }) => kind,
            Err(AddressRefused::Scheme { .. }) => "scheme",
            Err(AddressRefused::Credentials) => "credentials",
            Err(AddressRefused::Tail) => "tail",
            Err(AddressRefused::NoHost) => "no host",
        }
    }

    #[test]
    fn only_public_addresses_may_be_registered() {
        for (address, expected) in [
            ("https://agent.example.com/", "allowed"),
            ("http://8.8.8.8:8080/base", "allowed"),
            ("http://[2606:4700::1111]/", "allowed"),
            ("http://172.15.0.1/", "allowed"),
            ("http://172.32.0.1/", "allowed"),
            ("http://100.128.0.1/", "allowed"),
            ("ftp://example.com/", "scheme"),
            ("file:///etc/passwd", "scheme"),
            ("http://user@example.com/", "credentials"),
            ("http://:secret@example.com/", "credentials"),
            ("http://example.com/?a", "tail"),
            ("http://example.com/#a", "tail"),
            ("http://localhost:4000/", "loopback"),
            ("http://LOCALHOST./", "loopback"),
            ("http://a.localhost/", "loopback"),
            ("http://127.0.0.1/", "loopback"),
            ("http://127.1/", "loopback"),
            ("http://2130706433/", "loopback"),
            ("http://0x7f000001/", "loopback"),
            ("http://0177.0.0.1/", "loopback"),
            ("http://[::1]/", "loopback"),
            ("http://[::ffff:127.0.0.1]/", "loopback"),
            ("http://0.0.0.0/", "unspecified"),
            ("http://[::]/", "unspecified"),
            ("http://10.1.2.3/", "private"),
            ("http://172.16.0.1/", "private"),
            ("http://172.31.255.255/", "private"),
            ("http://192.168.1.1/", "private"),
            ("http://[::ffff:10.0.0.1]/", "private"),
            ("http://[64:ff9b::a00:1]/", "private"),
            ("http://[2002:a00:1::]/", "private"),
            ("http://169.254.1.1/", "link-local"),
            ("http://[fe80::1]/", "link-local"),
            ("http://169.254.169.254/latest/meta-data", "metadata"),
            ("http://[::ffff:169.254.169.254]/", "metadata"),
            ("http://2852039166/", "metadata"),
            ("http://100.100.100.200/", "metadata"),
            ("http://168.63.129.16/", "metadata"),
            ("http://[fd00:ec2::254]/", "metadata"),
            ("http://metadata.google.internal/", "metadata"),
            ("http://Metadata.Google.Internal./", "metadata"),
            ("http://100.64.0.1/", "carrier-grade NAT"),
            ("http://[fd12::1]/", "unique local"),
            ("http://224.0.0.1/", "multicast"),
            ("http://[ff02::1]/", "multicast"),
            ("http://255.255.255.255/", "reserved"),
            ("http://192.0.2.1/", "special-purpose"),
            ("http://[2001:db8::1]/", "special-purpose"),
            ("http://[::7f00:1]/", "special-purpose"),
        ] {
            assert_eq!(kind(address), expected, "{address}");
        }
    }

    #[test]
    fn an_owned_address_may_lie_inside_but_carries_no_credentials() {
        for (address, allowed) in [
            ("http://127.0.0.1:4000/", true),
            ("http://169.254.169.254/", true),
            ("http://me:pw@127.0.0.1:4000/", false),
            ("unix://127.0.0.1/", false),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(check(&address, |_| true).is_ok(), allowed, "{address}");
        }
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let refused = check(&"http://10.0.0.1/".parse().unwrap(), |_| false).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "10.0.0.1 is a private address, and no backend of this workspace owns it; register a public address"
        );
    }
}
