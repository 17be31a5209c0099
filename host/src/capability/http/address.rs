//! Which addresses a request may reach: a pure function over what a name resolved to.
//!
//! Only what is known to be a public unicast address counts as public; everything that the registries of special
//! addresses name, and everything that carries another address inside (mapped, translated, tunnelled), is decided by
//! what it leads to. Sources: the IANA IPv4 and IPv6 special-purpose address registries.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What kind of place an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// On the internet.
    Public,
    /// This machine.
    Loopback,
    /// A network of one's own: RFC 1918, shared address space, unique local, site-local.
    Private,
    /// Never reached, whatever is granted; says what it is.
    Never(&'static str),
}

/// How far a granted scope entry reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reach {
    /// Public addresses only.
    Public,
    /// `localhost`: this machine only.
    Loopback,
    /// `lan:`, or an address that was written out: public, private and this machine.
    Lan,
}

impl Reach {
    /// Whether an entry with this reach may lead to `address`.
    pub fn admits(self, address: IpAddr) -> bool {
        match (self, classify(address)) {
            (_, Class::Never(_)) => false,
            (Self::Public, class) => class == Class::Public,
            (Self::Loopback, class) => class == Class::Loopback,
            (Self::Lan, _) => true,
        }
    }
}

/// What an address is.
pub fn classify(address: IpAddr) -> Class {
    match address {
        IpAddr::V4(address) => classify_v4(address),
        IpAddr::V6(address) => classify_v6(address),
    }
}

fn classify_v4(address: Ipv4Addr) -> Class {
    match address.octets() {
        [0, ..] => Class::Never("this network"),
        [127, ..] => Class::Loopback,
        [169, 254, ..] => Class::Never("link-local, where clouds answer with credentials"),
        // Metadata services that do not live in the link-local block.
        [100, 100, 100, 200] | [168, 63, 129, 16] => Class::Never("a cloud's metadata service"),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => Class::Private,
        [192, 0, 0, _] => Class::Never("reserved for protocols"),
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Class::Never("for documentation"),
        [192, 88, 99, _] => Class::Never("a relay between address families"),
        [198, 18..=19, ..] => Class::Never("for benchmarks"),
        [224..=239, ..] => Class::Never("multicast"),
        [255, 255, 255, 255] => Class::Never("broadcast"),
        [240..=255, ..] => Class::Never("reserved"),
        _ => Class::Public,
    }
}

fn classify_v6(address: Ipv6Addr) -> Class {
    if let Some(mapped) = address.to_ipv4_mapped() {
        return classify_v4(mapped);
    }
    let [a, b, c, d, e, f, g, h] = address.segments();
    match [a, b, c, d, e, f, g, h] {
        [0, 0, 0, 0, 0, 0, 0, 0] => Class::Never("unspecified"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Class::Loopback,
        [0, 0, 0, 0, 0, 0, ..] => Class::Never("an outdated form of an IPv4 address"),
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => carried(&[embedded(g, h)]),
        [0x64, 0xff9b, 1, ..] => Class::Never("translated to an unknown IPv4 address"),
        [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254] | [0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x254] => {
            Class::Never("a cloud's metadata service")
        }
        [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => Class::Private,
        [0xfe80..=0xfebf, ..] => Class::Never("link-local"),
        [0xff00..=0xffff, ..] => Class::Never("multicast"),
        [0x2001, 0, ..] => carried(&[embedded(c, d), embedded(!g, !h)]),
        [0x2001, 2, 0, ..] => Class::Never("for benchmarks"),
        [0x2001, 0x10..=0x3f, ..] => Class::Never("a name for a host, not a place"),
        [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => Class::Never("for documentation"),
        [0x2002, ..] => carried(&[embedded(b, c)]),
        [0x2000..=0x3fff, ..] => Class::Public,
        _ => Class::Never("reserved"),
    }
}

/// A tunnel or translator is as public as every address that it carries; it never leads inwards, not even for `lan:`,
/// for nobody who grants `lan:nas` thinks of one.
fn carried(inner: &[Ipv4Addr]) -> Class {
    if inner.iter().all(|address| classify_v4(*address) == Class::Public) {
        Class::Public
    } else {
        Class::Never("an IPv4 address that is not public, in an IPv6 one")
    }
}

fn embedded(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> &'static str {
        match classify(text.parse().unwrap()) {
            Class::Public => "public",
            Class::Loopback => "loopback",
            Class::Private => "private",
            Class::Never(_) => "never",
        }
    }

    #[test]
    fn every_special_block_is_told_apart_at_both_of_its_ends() {
        let table = [
            ("public", "1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 126.255.255.255 128.0.0.0 169.253.255.255 169.255.0.0"),
            ("public", "172.15.255.255 172.32.0.0 192.167.255.255 192.169.0.0 100.63.255.255 100.128.0.0"),
            ("public", "192.0.1.0 192.0.3.0 198.17.255.255 198.20.0.0 223.255.255.255 203.0.112.255 203.0.114.0"),
            ("loopback", "127.0.0.1 127.255.255.255 ::1 ::ffff:127.0.0.1"),
            ("private", "10.0.0.0 10.255.255.255 172.16.0.1 172.31.255.255 192.168.0.0 192.168.255.255"),
            ("private", "100.64.0.0 100.127.255.255 fc00:: fdff:ffff::1 fec0::1 feff::1 ::ffff:10.0.0.1"),
            ("never", "0.0.0.0 0.255.255.255 169.254.0.0 169.254.169.254 169.254.255.255 ::ffff:169.254.169.254"),
            ("never", "100.100.100.200 168.63.129.16 fd00:ec2::254 fd20:ce::254"),
            ("never", "192.0.0.1 192.0.2.1 198.51.100.1 203.0.113.255 192.88.99.1 198.18.0.0 198.19.255.255"),
            ("never", "224.0.0.0 239.255.255.255 240.0.0.0 255.255.255.254 255.255.255.255"),
            ("never", ":: ::2 ::127.0.0.1 ::8.8.8.8 fe80::1 febf::1 ff02::1 100::1 4000::1 5f00::1"),
            ("never", "2001:db8::1 3fff::1 3fff:fff::1 2001:2::1 2001:10::1 2001:20::1 64:ff9b:1::808:808"),
            ("public", "2606:4700::1111 2a00::1 3ffe::1 2001:4860::8888 2003::1 64:ff9b::8.8.8.8 2002:808:808::1"),
            ("never", "64:ff9b::127.0.0.1 64:ff9b::10.0.0.1 64:ff9b::169.254.169.254 2002:7f00:1::1 2002:a00:1::1"),
            // Teredo: the server's address, then the client's with every bit turned over.
            ("public", "2001:0:808:808::f7f7:f7f7"),
            ("never", "2001:0:808:808::80ff:fffe 2001:0:a00:1::f7f7:f7f7 2001:0:808:808::5601:5601"),
        ];
        let wrong: Vec<_> = table
            .iter()
            .flat_map(|(expected, addresses)| addresses.split(' ').map(move |address| (*expected, address)))
            .filter(|(expected, address)| kind(address) != *expected)
            .collect();
        assert_eq!(wrong, []);
    }

    #[test]
    fn an_entry_reaches_no_further_than_it_says() {
        let reached = |reach: Reach| {
            ["8.8.8.8", "10.0.0.1", "127.0.0.1", "169.254.169.254"]
                .map(|address| reach.admits(address.parse().unwrap()))
        };
        assert_eq!(reached(Reach::Public), [true, false, false, false]);
        assert_eq!(reached(Reach::Loopback), [false, false, true, false]);
        assert_eq!(reached(Reach::Lan), [true, true, true, false]);
    }
}
